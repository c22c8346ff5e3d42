"""Writes the C of the extension module mohvit._mohvit: make_binding.py MOHVIT_H STATUS_H CALLS_H CALLS_C OUTPUT

cffi reads the public header itself, so that whatever is declared there can be called. What it cannot read, comments and
the preprocessor's lines, is taken out."""

import re
import sys

from cffi import FFI


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def declarations(path):
    text = re.sub(r"/\*.*?\*/", "", read(path), flags=re.S)
    text = re.sub(r"^#.*$", "", text, flags=re.M)
    text = text.replace("MOHVIT_API ", "").replace('extern "C" {', "")
    return re.sub(r"\n}\s*$", "\n", text.rstrip()) + "\n"


header, status, calls, calls_code, output = sys.argv[1:]
ffi = FFI()
ffi.cdef(declarations(status) + declarations(header) + declarations(calls) + """
extern "Python" int on_time(void *told, size_t done, size_t total);
extern "Python" int on_trace(void *trace, size_t slot, size_t block, const float *x, size_t tokens, size_t channels);
extern "Python" void on_warning(void *messages, const char *message);
extern "Python" void on_note(void *messages, const char *message);
""")
ffi.set_source("mohvit._mohvit", "#include <mohvit.h>\n" + read(calls) + read(calls_code))
ffi.emit_c_code(output)
