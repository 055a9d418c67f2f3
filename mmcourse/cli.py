"""The command line: it parses, calls the room that does the work, and tells failures in one sentence."""

import argparse
import re
import sys

from mmcourse import UsageError, __version__


class Parser(argparse.ArgumentParser):
    """argparse, with its own complaints as one sentence as well."""

    def error(self, message):
        message = re.sub(r"^argument \S+: ", "", message)
        raise UsageError(f"{message[:1].upper()}{message[1:]}: see `{self.prog} --help`.")


def port(text):
    """A port number. Raises argparse's error for anything else."""
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, a number from 1 to 65535")
    return int(text)


def number(text):
    """A lesson's number. Raises argparse's error for anything else."""
    if not text.isdecimal() or int(text) > 99:
        raise argparse.ArgumentTypeError(f"{text!r} is not a lesson's number, such as 11")
    return int(text)


def number_or_all(text):
    """A lesson's number, or the word "all"."""
    return text if text == "all" else number(text)


def lab(args):
    from mmcourse import workspace
    return workspace.lab(args.lesson, port=args.port, browser=not args.no_browser)


def doctor(args):
    from mmcourse import workspace
    return workspace.doctor()


def progress(args):
    from mmcourse import workspace
    return workspace.progress()


def grade(args):
    from mmcourse import grading
    return grading.grade(args.files)


def slides(args):
    from mmcourse.authoring import slides
    slides.export("all" if "all" in args.numbers else args.numbers, args.output)


def train(args):
    from mmcourse import recipes
    recipes.train(args.name, args.steps)


def steps(text):
    """A number of steps, 1 or more. Raises argparse's error for anything else."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of steps, 1 or more")
    return int(text)


def build(args):
    from mmcourse.authoring import build
    return build.build(args.numbers, check=args.check, repo=args.repo)


def parser():
    """The parser of all commands; `run` of what it returns is the function to call."""
    top = Parser(prog="mmcourse", description="Learn multimodal large language models by building them.")
    top.add_argument("--version", action="version", version=f"mmcourse {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND")

    def command(run, text):
        made = commands.add_parser(run.__name__, help=text, description=f"{text[:1].upper()}{text[1:]}.")
        made.set_defaults(run=run)
        return made

    made = command(lab, "open JupyterLab at the next lesson, or at LESSON")
    made.add_argument("lesson", type=number, nargs="?", metavar="LESSON", help="its number, such as 11")
    made.add_argument("--port", type=port, help="the server's port (default: the first free one from 8888)")
    made.add_argument("--no-browser", action="store_true", help="start the server only")
    command(doctor, "say what is missing on this computer and how to mend it")
    command(progress, "show which exercises are passed and what comes next")
    made = command(grade, "mark exercise notebooks")
    made.add_argument("files", nargs="+", metavar="FILE", help="a notebook that began as one of exercises/")
    made = command(slides, "write a lesson as slides, one HTML file that needs no network")
    made.add_argument("numbers", nargs="+", type=number_or_all, metavar="NN", help="lessons, or: all")
    made.add_argument("--output", metavar="DIR", help="the folder to write to")
    made = command(train, "train a shipped model anew by its recipe; a run that was cut off goes on")
    made.add_argument("name", metavar="NAME", help="the model's name, such as vision")
    made.add_argument("--steps", type=steps, help="how many steps (default: the recipe's, by device)")
    made = command(build, "build notebooks, exercises and solutions from lessons/")
    made.add_argument("numbers", nargs="*", type=number, metavar="NN", help="lessons' numbers (default: all)")
    made.add_argument("--check", action="store_true", help="only compare, and fail on any difference")
    made.add_argument("--repo", metavar="OWNER/NAME", help="the address that badges and links point to")
    return top


def main(argv=None):
    """Run one command. Returns the exit code: 0, what the command says, 2 for a sentence, 130 for Ctrl+C."""
    try:
        args = parser().parse_args(argv)
        if "run" not in args:
            parser().print_help()
            return 0
        return args.run(args) or 0
    except UsageError as error:
        print(f"mmcourse: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("mmcourse"):
            raise
        print(f"mmcourse: {error.name} is not installed: run `pip install -c constraints.txt -e \".[lab,author]\"`.",
              file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
