#!/usr/bin/python3
"""The pages against the tree: pages.py links SOURCE, or pages.py commands SOURCE BUILD

links: every relative link leads to a file, and to a heading of it; addresses outside are only looked at, not asked for.
commands: every command that stands in a block of sh, or behind a "$ ", is run, page by page in one shell, in a folder
with small files under the names that the pages use. NOT_RUN has those that are not, and why. What follows a "$ " command
is its output. Options of `mohvit` and of tools/ are ones that --help has, wherever a page names them, run or not."""

import glob
import gzip
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

PAGES = ["*.md", "docs/*.md", "tests/README.md", "bindings/web/README.md", "bindings/web/demo/README.md"]

# Every command that is not run fits one of these, and each of these some command.
NOT_RUN = [
    (r"…|\bNAME\b|\bOTHER\b", "stands for many commands, and is none itself"),
    (r"^git clone", "takes the address that the reader came from"),
    (r"^tools/fetch-weights [a-z]", "takes the internet; the suite fetch_weights has a server of its own"),
    (r"^sudo |apt-get", "changes the machine"),
    (r"^tools/(demo|setup|test)\b", "installs what is missing; CI begins with them"),
    (r"^tools/(test-packages|package|test-aarch64|fuzz|mutate)\b", "takes minutes"),
    (r"^(cmake|ctest|npm)\b|&& cmake", "builds, tests or installs, as CI and the suites install and web do"),
    (r"^export PKG_CONFIG_PATH|^cc main\.c", "the suite install does both"),
    (r"^build/[a-z]+/tests/|^bash tests/|tests/bindings/measure_python", "a suite, or a measurement, which ctest or people run"),
    (r"tools/pytorch/|tests/pytorch/", "takes PyTorch, and minutes or hours; the suites pytorch_* run these scripts"),
    (r"^(build/release/)?mohvit bench\b|^perf record", "measures, which takes seconds to minutes"),
    (r"^mohvit verify tests/golden/\*|^build/release/mohvit verify", "the suite verify does it"),
    (r"Desk,Goldfish", "takes a head load of ImageNet; the suite headload_figures makes one up and runs this command"),
    (r"-o bindings/", "makes a file of the tree anew"),
    (r"xdg-open|demo/serve\.mjs|bench/run|^node ", "opens a browser, a server or a benchmark; the suites web and web_page do"),
]
FASHION_MNIST = "/usr/share/datasets/fashion-mnist"
PICTURES = 64  # of it: where a page uses more, a suite has to hold the figures


def pages(source):
    names = [name for pattern in PAGES for name in sorted(glob.glob(pattern, root_dir=source))]
    for name in names:
        with open(os.path.join(source, name), encoding="utf-8") as file:
            yield name, file.read()


# ---- Links ---------------------------------------------------------------------------------------------------------


def without_code(text):
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))


def anchors(text):
    """What links to a page's headings are called, as GitHub and GitLab make them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(source):
    texts = dict(pages(source))
    count = 0
    for page, text in texts.items():
        for link in re.findall(r'\]\(([^)\s]+)\)|src="([^"]+)"|<(https?:[^>]*)>', without_code(text)):
            link = "".join(link)
            count += 1
            if ":" in link:
                if not re.fullmatch(r"https://[a-z0-9.-]+\.[a-z]+(/[\w.~%/#?=&+-]*)?", link):
                    yield f"{page}: {link} is no address of the form https://host/path"
                continue
            path, _, anchor = link.partition("#")
            target = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
            if not os.path.exists(os.path.join(source, target)):
                yield f"{page}: {link} leads to {target}, which does not exist"
            elif anchor and anchor not in anchors(texts.get(target, "")):
                yield f"{page}: {link}: {target} has no such heading"
    if count < 60:
        yield f"found only {count} links"


# ---- Commands ------------------------------------------------------------------------------------------------------


def is_whole(command):
    return not command.endswith("\\") and subprocess.run(["bash", "-n", "-c", command], capture_output=True).returncode == 0


def commands(text):
    """(line, command, expected output or None) for each command of a page."""
    for block in re.finditer(r"^```([a-z]*)\n(.*?)^```$", text, re.M | re.S):
        if block[1] not in ("sh", ""):
            continue
        line = text.count("\n", 0, block.start()) + 1
        prompt = block[1] == ""
        held, begun, shown = [], 0, None
        for number, row in enumerate(block[2].splitlines(), line + 1):
            if prompt and not row.startswith("$ ") and not held:
                if shown is not None:
                    shown[2].append(row)
                continue
            held, begun = held + [row.removeprefix("$ ") if prompt else row], begun or number
            command = "\n".join(held)
            if not is_whole(command):
                continue
            if re.sub(r"(^|\s)#.*", "", command).strip():
                if shown:
                    yield shown
                shown = (begun, command, [] if prompt else None)
            held, begun = [], 0
        if held:
            raise SystemExit(f"line {begun}: not a whole command: {held}")
        if shown:
            yield shown


def reason_not_to_run(command):
    command = re.sub(r"\s+#.*", "", command)
    return next((i for i, (pattern, _) in enumerate(NOT_RUN) if re.search(pattern, command)), None)


class Help:
    """The options that a command has."""

    def __init__(self, source, mohvit):
        self.source, self.mohvit, self.texts = source, mohvit, {}

    def options(self, words):
        """Of the program that words begin with, and how it is called; None: not one that is looked at."""
        if re.fullmatch(r"(build/release/)?mohvit", words[0]):
            named = [w for w in words[1:3] if re.fullmatch(r"[a-z]+", w)]
            command = [self.mohvit, *named[: 2 if named[:1] == ["headload"] else 1]]
        elif re.match(r"tools/[\w/-]+(\.py)?$", words[0]) and os.path.isfile(os.path.join(self.source, words[0])):
            command = [os.path.join(self.source, words[0])]
        else:
            return None
        if "pytorch" in command[0] or command[1:] == ["headload"]:
            return None  # the former want PyTorch even to explain themselves
        key = " ".join(command)
        if key not in self.texts:
            done = subprocess.run([*command, "--help"], capture_output=True, text=True)
            self.texts[key] = set(re.findall(r"(?<![\w-])--?[a-zA-Z0][\w-]*", done.stdout)) if done.returncode == 0 else None
        return self.texts[key]


def unknown_options(source, build):
    """Options that a page gives to a command that does not have them."""
    known, looked_at = Help(source, os.path.join(build, "mohvit")), 0
    for page, text in pages(source):
        if page == "CHANGELOG.md":
            continue  # has what earlier versions took
        spans = [c for _, c, _ in commands(text)] + re.findall(r"`([^`\n]*(?:\n[^`\n]*)?)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))
        for span in spans:
            for part in re.split(r"[|;]|&&", re.sub(r"\s#.*|'[^']*'|\"[^\"]*\"", " ", span.replace("\\\n", " "))):
                words = [w for w in part.split() if not re.match(r"[A-Z_]+=", w)]
                while words and words[0] in ("sudo", "mpirun", "$"):
                    words = words[1:]
                options = known.options(words) if words else None
                if options is None:
                    continue
                looked_at += 1
                for word in words[1:]:
                    option = re.match(r"--?[a-zA-Z0][\w-]*", word)
                    if option and option[0] not in options:
                        yield f"{page}: {span!r}: {words[0]} has no {option[0]} there"
    if looked_at < 100:
        yield f"found only {looked_at} commands to look at"


def make_files(source, build, folder):
    """What the pages name as if the reader had it."""
    os.mkdir(os.path.join(folder, "tools"))  # links to what lies in it, so that a command which writes there fails
    for name in ("samples", "completion.bash", "fetch-weights"):
        os.symlink(os.path.join(source, "tools", name), os.path.join(folder, "tools", name))
    os.mkdir(os.path.join(folder, "build"))
    os.symlink(build, os.path.join(folder, "build", "release"))
    # Published checkpoints: the built-in model under their names, which say nothing to the program.
    model = glob.glob(f"{source}/weights/*.safetensors")[0]
    os.mkdir(os.path.join(folder, "nano"))
    for name in ("moh_transnext_small_75.pth", "moh_transnext_small_80.pth", "moh_transnext_base_75.pth",
                 "moh_transnext_base_50.pth", "transnext_small_384.pth", "transnext_base_384.pth", "nano/model.safetensors"):
        os.symlink(model, os.path.join(folder, name))
    # Photos, the validation pictures of ImageNet and their classes: the samples.
    samples = sorted(glob.glob(f"{source}/tools/samples/*.png"))
    photo = f"{source}/tests/golden/images/cat_444.jpg"
    for place in ("photo.jpg", "holiday/a.jpg", "photos/a.jpg"):
        os.makedirs(os.path.dirname(os.path.join(folder, place)), exist_ok=True)
        shutil.copy(photo, os.path.join(folder, place))
    with tarfile.open(os.path.join(folder, "ILSVRC2012_img_val.tar"), "w") as tar:
        for sample in samples:
            tar.add(sample, os.path.basename(sample))
    for sample in samples[:6]:  # which are called as their classes are
        place = os.path.join(folder, "val", os.path.splitext(os.path.basename(sample))[0])
        os.makedirs(place)
        shutil.copy(sample, place)
    with open(os.path.join(folder, "LOC_val_solution.csv"), "w", encoding="utf-8") as file:
        file.write("file_name,label\n")
        file.writelines(f"{os.path.splitext(os.path.basename(sample))[0]},0\n" for sample in samples)
    with open(os.path.join(folder, "truth.csv"), "w", encoding="utf-8") as file:
        file.write("file_name,label\na.jpg,0\n")
    # A small part of Fashion-MNIST.
    os.mkdir(os.path.join(folder, "fashion-mnist"))
    for name, header, size in (("t10k-images-idx3-ubyte.gz", 16, 784), ("t10k-labels-idx1-ubyte.gz", 8, 1)):
        with gzip.open(f"{FASHION_MNIST}/{name}") as file:
            data = bytearray(file.read(header + PICTURES * size))
        data[4:8] = PICTURES.to_bytes(4, "big")
        with gzip.open(os.path.join(folder, "fashion-mnist", name), "wb") as file:
            file.write(data)


def script(page, found, folder):
    """What bash runs for a page: before each command its place and text go to descriptor 3."""
    rows = ["set -eo pipefail"]
    for line, command, shown in found:
        if reason_not_to_run(command) is not None:
            continue
        rows.append(f"echo {page}:{line} >&3")
        command = command.replace(FASHION_MNIST, f"{folder}/fashion-mnist")
        rows.append(command if shown is None else f"{{ {command}\n}} >{folder}/out.{line} 2>{folder}/err.{line}")
    return "\n".join(rows) + "\n"


def is_shown(shown, command, out, err):
    """Is that the output on the page? Of a part of the data, only what the figures are called."""
    same = [row for row in shown if not row.startswith("mohvit: ")]
    printed = out.splitlines()
    if "$mnist" in command:
        same, printed = ([row.split()[:1] for row in rows] for rows in (same, printed))
    return same == printed and all(row in err.splitlines() for row in shown if row.startswith("mohvit: "))


def run_page(page, found, source, build):
    with tempfile.TemporaryDirectory(prefix="mohvit-pages-") as folder:
        make_files(source, build, folder)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("MOHVIT_", "OMP_"))}
        environment.update(PATH=f"{build}:{os.environ['PATH']}", LC_ALL="C.UTF-8", MANPAGER="cat", NO_COLOR="1")
        place = os.path.join(folder, "place")
        done = subprocess.run(["bash", "-c", f"exec 3>{place}\n" + script(page, found, folder)], cwd=folder, env=environment,
                              capture_output=True, text=True, stdin=subprocess.DEVNULL)
        with open(place, encoding="utf-8") as file:
            places = file.read().split()
        if done.returncode:
            yield f"{places[-1]}: ended with status {done.returncode}: {done.stderr[-1500:]}"
            return
        for line, command, shown in found:
            if shown and f"{page}:{line}" in places:
                with open(f"{folder}/out.{line}", encoding="utf-8") as out, open(f"{folder}/err.{line}", encoding="utf-8") as err:
                    out, err = out.read(), err.read()
                if not is_shown(shown, command, out, err):
                    yield f"{page}:{line}: {command} prints\n{out}{err}which is not what the page shows"


def failing_commands(source, build):
    used, ran = set(), 0
    for page, text in pages(source):
        found = list(commands(text))
        reasons = [reason_not_to_run(command) for _, command, _ in found]
        used.update(reasons)
        ran += reasons.count(None)
        if None in reasons:
            yield from run_page(page, found, source, build)
    for i, (pattern, reason) in enumerate(NOT_RUN):
        if i not in used:
            yield f"NOT_RUN: no command fits {pattern!r} ({reason})"
    if ran < 50:
        yield f"ran only {ran} commands"
    print(f"{ran} commands ran")


def main():
    if sys.argv[1:2] == ["links"] and len(sys.argv) == 3:
        found = list(dead_links(sys.argv[2]))
    elif sys.argv[1:2] == ["commands"] and len(sys.argv) == 4:
        source, build = map(os.path.abspath, sys.argv[2:])
        found = [*unknown_options(source, build), *failing_commands(source, build)]
    else:
        sys.exit(__doc__)
    for failure in found:
        print(f"FAILED: {failure}")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
