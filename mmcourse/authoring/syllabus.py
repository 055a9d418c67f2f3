"""What is built from the headers of all lessons: the tables of the READMEs in two languages, and the glossary."""

import re

from mmcourse import UsageError

PARTS = {  # by the first digit of a lesson's number; the last is for all that come after it
    "en": ("Start here", "The Transformer", "Bringing modalities together", "Answer, describe, draw",
           "Sound, film, points", "In practice", "Applications"),
    "zh": ("从这里开始", "Transformer", "把模态连在一起", "回答、描述、作画", "声音、影片、点云", "实践", "应用"),
}
HEADS = {
    ("syllabus", "en"): ("", "Lesson", "The question", "Minutes", "Level", "Exercises"),
    ("syllabus", "zh"): ("", "课程", "当日词汇", "分钟", "难度", "练习"),
    ("teaching", "en"): ("", "Minutes", "Slides", "Show live", "In class", "At home", "For more"),
    ("teaching", "zh"): ("", "分钟", "幻灯片", "现场演示", "课堂练习", "课后练习", "挑战"),
}
LEVELS = {"beginner": "入门", "intermediate": "中级", "advanced": "高级"}
TASK = re.compile(r"## (\d\d\.\d+) (.+)\n\*(\d+) points · (\d+) minutes")      # how every exercise begins
LIVE = re.compile(r"## Try it: (.+)")                                         # the heading above a widget
GLOSSARY = """# Glossary

The words of the day of all lessons, in English and Chinese. The number leads to the lesson that explains the word.
`mmcourse build` writes this page from the lessons' headers.

| English | 中文 | Lesson |
|---|---|---|
"""


def readme(text, lessons, exercises, language="en"):
    """The README `text` with its tables up to date; `language` is "en" or "zh".

    `lessons` and `exercises` are the sources of both kinds. Raises UsageError without the markers of the syllabus.
    """
    lessons = sorted(lessons, key=lambda source: source.number)
    sets = {source.number: source for source in exercises}
    for name, row in (("syllabus", _lesson), ("teaching", _teaching)):
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
            if name == "teaching" and not text.count(begin) + text.count(end):
                continue
            file = "README.md" if language == "en" else "README.zh.md"
            raise UsageError(f"{file} has no place for the {name}: put `{begin}` and `{end}` there, once.")
        table = _table(HEADS[name, language], lessons, language, lambda one: row(one, sets.get(one.number), language))
        text = re.sub(rf"(?<={begin}).*(?={end})", lambda _: f"\n\n{table}\n\n", text, flags=re.S)
    return text


def glossary(lessons):
    """The page of all words of the day. Raises UsageError where two lessons translate a word in two ways."""
    words = {}
    for lesson in sorted(lessons, key=lambda source: source.number):
        for english, chinese in lesson.header["words"].items():
            known, where = words.setdefault(english, (chinese, []))
            if known != chinese:
                raise UsageError(f"{lesson.shown}:1: the word {english!r} is {chinese} here and {known} in lesson "
                                 f"{where[0].number}; choose one.")
            where.append(lesson)
    rows = [_row([english, chinese, ", ".join(f"[{one.number:02d}](../notebooks/{one.name}.ipynb)" for one in where)])
            for english, (chinese, where) in sorted(words.items(), key=lambda item: item[0].casefold())]
    return GLOSSARY + "\n".join(rows) + "\n"


def _table(head, lessons, language, row):
    rows, part = [_row(head), "|---" * len(head) + "|"], None
    for lesson in lessons:
        name = PARTS[language][min(lesson.number // 10, len(PARTS[language]) - 1)]
        if name != part:
            part = name
            rows.append(_row(["", f"**{part}**", *[""] * (len(head) - 2)]))
        rows.append(_row([f"{lesson.number:02d}", *row(lesson)]))
    return "\n".join(rows)


def _row(cells):
    return re.sub(" {2,}", " ", "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")


def _lesson(lesson, exercises, language):
    header, count = lesson.header, ""
    if exercises:
        points = [cell.options["points"] for cell in exercises.cells if "points" in cell.options]
        words = f"{len(points)} for {sum(points)} points" if language == "en" else f"{len(points)} 题，{sum(points)} 分"
        count = f"[{words}](exercises/{exercises.name}.ipynb)"
    about = header["question"] if language == "en" else "；".join(list(header["words"].values())[:5])
    return [f"[{header['title']}](notebooks/{lesson.name}.ipynb)", about, str(header["minutes"]),
            header["level"] if language == "en" else LEVELS[header["level"]], count]


def _teaching(lesson, exercises, language):
    """What a teacher plans with: predictions and bugs are for the room, building is for home, a challenge for who wants."""
    live = [found[1].strip() for cell in lesson.cells if (found := LIVE.match(cell.source))]
    groups, minutes = ([], [], []), [0, 0, 0]
    for cell in exercises.cells if exercises else ():
        if found := TASK.match(cell.source):
            kind = 0 if found[2].startswith(("Predict", "Find the bug")) else 2 if found[2].startswith("Open") else 1
            groups[kind].append(found[1])
            minutes[kind] += int(found[4])
    unit = "min" if language == "en" else "分钟"
    tasks = [f"{', '.join(group)} ({time} {unit})" if group else "" for group, time in zip(groups, minutes)]
    kinds = [cell.options.get("slideshow", {}).get("slide_type") for cell in lesson.cells]
    slides = 1 + kinds.count("slide") + kinds.count("subslide")                 # the first is built from the header
    return [str(lesson.header["minutes"]), str(slides), "; ".join(live), *tasks]
