"""The command line: it parses, calls the room that does the work, and tells failures in one sentence."""

import argparse
import os
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


def part(text):
    """A part of the benchmark. Raises argparse's error for anything else."""
    from mmcourse.bench import PARTS
    if text not in PARTS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a part: choose from {', '.join(PARTS)}")
    return text


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
    if args.selftest:
        return grading.selftest()
    if not args.files:
        raise UsageError("Nothing to mark: name a FILE or a folder of them.")
    if bool(args.gradebook) != bool(args.column):
        raise UsageError("--gradebook and --column go together: a gradebook's CSV and the column to fill.")
    return grading.grade(args.files, args.report, args.jobs, args.without_sandbox, args.gradebook, args.column)


def slides(args):
    from mmcourse.authoring import slides
    slides.export("all" if "all" in args.numbers else args.numbers, args.output)


def train(args):
    from mmcourse import recipes
    recipes.train(args.name, args.steps, args.until)


def steps(text):
    """A number of steps, 1 or more. Raises argparse's error for anything else."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return int(text)


def share(text):
    """A score from 0 to 1. Raises argparse's error for anything else."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a score from 0 to 1, such as 0.98")
    return value


def bench(args):
    from mmcourse import bench
    bench.bench(args.parts or bench.USUAL, args.output, args.smoke, args.minutes)


def release(args):
    from mmcourse.grading import release
    print(f"{len(release.release(args.folder))} files are in {args.folder}: what students get, without solutions.")


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
    made.add_argument("files", nargs="*", metavar="FILE", help="a notebook that began as one of exercises/, or a folder")
    made.add_argument("--report", metavar="DIR", help="keep marks and a report there; a run that was cut off goes on")
    made.add_argument("--jobs", type=steps, help="how many files at a time (default: one for each core)")
    made.add_argument("--gradebook", metavar="CSV", help="an export of Canvas or Moodle: a filled copy goes to the report")
    made.add_argument("--column", metavar="NAME", help="the column of the gradebook to fill")
    made.add_argument("--selftest", action="store_true", help="try to break out of the sandbox, a line for each defence")
    made.add_argument("--without-sandbox", action="store_true", help="run answers with all your rights: files you trust")
    made = command(slides, "write a lesson as slides, one HTML file that needs no network")
    made.add_argument("numbers", nargs="+", type=number_or_all, metavar="NN", help="lessons, or: all")
    made.add_argument("--output", metavar="DIR", help="the folder to write to")
    made = command(train, "train a shipped model anew by its recipe and put it into data/weights/; a run that was cut off goes on")
    made.add_argument("name", metavar="NAME", help="the model's name, such as vision")
    made.add_argument("--steps", type=steps, help="how many steps (default: the recipe's, by device)")
    made.add_argument("--until", type=share, metavar="SCORE",
                      help="only print the held-out score over the seconds, up to SCORE")
    made = command(bench, "measure the course's speed beside the libraries', in one run")
    made.add_argument("parts", nargs="*", type=part, metavar="PART",
                      help="training, generation, growth (these if none is named), quality or cost")
    made.add_argument("--output", metavar="DIR", default="bench", help="the folder of bench.json and bench.png")
    made.add_argument("--minutes", type=steps, default=20, help="what each training of the part quality may take")
    made.add_argument("--smoke", action="store_true", help="only try that it works: tiny shapes, one round")
    made = command(build, "build notebooks, exercises and solutions from lessons/")
    made.add_argument("numbers", nargs="*", type=number, metavar="NN", help="lessons' numbers (default: all)")
    made.add_argument("--check", action="store_true", help="only compare, and fail on any difference")
    made.add_argument("--repo", metavar="OWNER/NAME", help="the address that badges and links point to")
    made = command(release, "copy the course as students get it, without solutions, into a new folder")
    made.add_argument("folder", metavar="DIR", help="a folder that does not exist yet or is empty")
    return top


def main(argv=None):
    """Run one command. Returns the exit code: 0, what the command says, 2 for a sentence, 130 for Ctrl+C."""
    try:
        args = parser().parse_args(argv)
        if "run" not in args:
            parser().print_help()
            return 0
        code = args.run(args) or 0
        sys.stdout.flush()
        return code
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
    except BrokenPipeError:                                  # who read the output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


if __name__ == "__main__":
    sys.exit(main())
