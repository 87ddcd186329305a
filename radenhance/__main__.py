"""`python -m radenhance`."""

import sys

from radenhance.cli import main

sys.exit(main())
