"""python -m attentio, the same as the command attentio."""

import sys

from attentio.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
