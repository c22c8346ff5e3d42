/* compiler.h - what this project asks of compiler and processor beyond C11. */
#ifndef MOHVIT_COMPILER_H
#define MOHVIT_COMPILER_H

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "big-endian processors are not supported: checkpoints store little-endian numbers, copied as they are"
#endif

#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))
#define UNUSED                   __attribute__((unused))

/* UNROLL(n) before a loop whose turns, n at most, are known once its function is inlined: no loop remains.
 * Clang 14 ignores GCC's pragma there, which makes float32 products take three times as long. */
#define PRAGMA(text) _Pragma(#text)
#ifdef __clang__
#define UNROLL(n) PRAGMA(clang loop unroll(full))
#else
#define UNROLL(n) PRAGMA(GCC unroll n)
#endif

#endif
