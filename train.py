"""The program: ``python train.py --help`` lists its commands."""

from firm_lightning.cli import main

if __name__ == "__main__":
    main()
