"""python3 -m mohvit is the program mohvit."""

import os
import sys

from .program import program_path

if __name__ == "__main__":
    os.execv(program_path(), ["mohvit", *sys.argv[1:]])
