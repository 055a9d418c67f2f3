"""A class on a real JupyterHub: two students log in, fetch, answer and hand in; the teacher collects and marks."""

import csv
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
import requests
import yaml

import mmcourse
from mmcourse.grading import sandbox

ROOT, NAME, STEM, PASSWORD = mmcourse.root(), "01", "01_modalities", "only-for-this-test"
PATIENCE, TIMEOUT = 300, 60          # seconds for a server to start, and for one answer: the machine may be busy
VALUES = {  # what values.schema.yaml of jupyterhub/zero-to-jupyterhub-k8s says of the keys that docs/hub/values.yaml uses
    "singleuser": {"image": {"name": str, "tag": str}, "defaultUrl": str, "extraEnv": dict,
                   "memory": {"guarantee": str, "limit": str}, "cpu": {"guarantee": (int, float), "limit": (int, float)},
                   "storage": {"capacity": str, "extraVolumes": list, "extraVolumeMounts": list}},
    "hub": {"config": dict}, "cull": {"enabled": bool, "timeout": int}}


def session():
    """A browser's cookies. No proxy of the environment stands between us."""
    direct = requests.Session()
    direct.trust_env = False
    return direct


class Hub:
    """The hub of docs/hub/ in a folder of its own, on free ports of this machine."""

    def __init__(self, folder):
        self.folder, self.log = folder, folder / "hub.log"
        with ExitStack() as sockets:
            ports = [sockets.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(3)]
        self.url = f"http://127.0.0.1:{ports[0]}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MMCOURSE", "JUPYTER"))}
        self.environment = kept | {
            "HOME": str(folder), "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}", "MMCOURSE_HUB": str(folder),
            "MMCOURSE_HUB_PORTS": " ".join(map(str, ports)), "MMCOURSE_HUB_PASSWORD": PASSWORD}
        assert shutil.which("configurable-http-proxy", path=self.environment["PATH"]), "Run `make proxy` first."
        self.family = set()                                         # the hub, its proxy, the students' servers

    def start(self):
        """Start the hub and its proxy. A second and a third time where the machine is busy: JupyterHub gives its proxy 10 s."""
        command = [sys.executable, "-m", "jupyterhub", "-f", ROOT / "docs/hub/jupyterhub_config.py"]
        for _ in range(3):
            with open(self.log, "a") as log:
                self.process = psutil.Popen(command, cwd=self.folder, env=self.environment, stdout=log, stderr=log,
                                            start_new_session=True)
            if self.answers(session(), "/hub/health"):
                return
            self.stop()
        raise AssertionError(f"The hub does not start. It said:\n{self.log.read_text()}")

    def answers(self, browser, path):
        """Ask until the answer is good. False when the hub ended, or after a long time."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.process.poll() is None:
            self._count()
            try:
                if browser.get(f"{self.url}{path}", timeout=TIMEOUT).ok:
                    return True
            except requests.RequestException:
                pass
            time.sleep(1)
        return False

    def stop(self):
        """End the hub; it ends its proxy and the students' servers. Returns what was left over after that."""
        self._count()
        if runs := self.process.poll() is None:
            self.process.terminate()
        _, left = psutil.wait_procs(self.family, timeout=90 if runs else 5)
        names = [str(process) for process in left]
        for process in left:
            process.kill()
        psutil.wait_procs(left, timeout=10)
        return names

    def _count(self):
        try:
            self.family.update([self.process, *self.process.children(recursive=True)])
        except psutil.NoSuchProcess:
            pass                                                    # the hub ended

    def teacher(self, *command):
        """Run a command in the course's folder: what it said."""
        run = subprocess.run([sys.executable, "-m", *command], cwd=self.folder / "course", env=self.environment,
                             timeout=600, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert run.returncode == 0, f"{' '.join(command)}:\n{run.stdout}"
        return run.stdout


class Student:
    """What a student's browser does: a session with cookies."""

    def __init__(self, hub, name):
        self.hub, self.name, self.base = hub, name, f"{hub.url}/user/{name}/"
        self.session = session()
        self.session.get(f"{hub.url}/hub/login", timeout=TIMEOUT)

    def log_in(self, password):
        form = {"username": self.name, "password": password}
        return self.session.post(f"{self.hub.url}/hub/login", data=form | self._xsrf("/hub/"), timeout=TIMEOUT)

    def open_lab(self):
        """JupyterLab's page, as soon as the student's server, which the login started, gives it."""
        started = self.hub.answers(self.session, f"/user/{self.name}/api")
        assert started, f"The server of {self.name} does not start. The hub said:\n{self.hub.log.read_text()}"
        page = self.session.get(f"{self.base}lab", timeout=TIMEOUT)
        assert page.ok and "jupyter-config-data" in page.text, f"{page.url}: {page.status_code} {page.text[:500]}"
        return page.text

    def ask(self, path, method="GET", **options):
        """Ask the student's server, as the pages in the browser do: what it answers."""
        self.session.headers["X-XSRFToken"] = self._xsrf(f"/user/{self.name}/")["_xsrf"]
        answer = self.session.request(method, self.base + path, timeout=TIMEOUT, **options)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json()

    def _xsrf(self, path):
        return {"_xsrf": next(cookie.value for cookie in self.session.cookies
                              if (cookie.name, cookie.path) == ("_xsrf", path))}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    hub = Hub(tmp_path_factory.mktemp("hub"))
    try:
        hub.start()
        yield hub
    finally:
        left = hub.stop()
    assert left == [], f"The hub left processes behind. It said:\n{hub.log.read_text()}"


@pytest.fixture(scope="module")
def assignment(hub):
    """The teacher makes an assignment of the solutions and releases it."""
    course = hub.folder / "course"
    (course / "source" / NAME).mkdir(parents=True)
    shutil.copy(ROOT / "docs/hub/nbgrader_config.py", course)
    shutil.copy(ROOT / f"solutions/{STEM}.ipynb", course / "source" / NAME)
    hub.teacher("nbgrader", "generate_assignment", NAME)
    hub.teacher("nbgrader", "release_assignment", NAME)
    return course


@pytest.fixture(scope="module")
def students(hub, assignment):
    """Ana and Bo, logged in, each with a server."""
    both = [Student(hub, name) for name in ("ana", "bo")]
    for student in both:
        assert student.log_in(PASSWORD).ok
    for student in both:
        student.page = student.open_lab()
    return both


def test_values_for_kubernetes_are_what_the_chart_takes():
    """Not run: there is no cluster here."""
    def compare(values, kinds):
        for key, value in values.items():
            assert key in kinds and isinstance(value, dict if isinstance(kinds[key], dict) else kinds[key]), key
            if isinstance(kinds[key], dict):
                compare(value, kinds[key])

    values = yaml.safe_load((ROOT / "docs/hub/values.yaml").read_text(encoding="utf-8"))
    compare(values, VALUES)
    student = values["singleuser"]
    volumes, mounts = student["storage"]["extraVolumes"], student["storage"]["extraVolumeMounts"]
    assert {one["name"] for one in volumes} == {one["name"] for one in mounts}
    assert mounts[0]["mountPath"] == student["extraEnv"]["MMCOURSE_HUB"] + "/exchange"          # as nbgrader_config.py has it
    assert all(isinstance(value, str) for value in student["extraEnv"].values())


def test_only_those_of_the_class_get_in_and_only_with_the_password(hub):
    for name, password in (("ana", "wrong-password"), ("carl", PASSWORD)):
        stranger = Student(hub, name)
        assert stranger.log_in(password).status_code == 403
        assert stranger.session.get(f"{hub.url}/hub/home", timeout=TIMEOUT).url.startswith(f"{hub.url}/hub/login")


def test_students_see_nothing_of_the_teachers(students):
    ana, bo = students
    disabled = json.loads(ana.page.split('id="jupyter-config-data"')[1].split(">", 1)[1].split("</script>")[0])
    assert {"@jupyter/nbgrader:formgrader", "@jupyter/nbgrader:create-assignment",
            "@jupyter/nbgrader:course-list"} <= set(disabled["disabledExtensions"])
    assert ana.session.get(f"{ana.base}formgrader", timeout=TIMEOUT).status_code == 404
    assert ana.session.get(f"{bo.base}api/contents", timeout=TIMEOUT).status_code == 403


def test_fetch_answer_hand_in_collect_and_mark(hub, students, assignment):
    path = f"api/contents/{NAME}/{STEM}.ipynb"
    solution = json.loads((ROOT / f"solutions/{STEM}.ipynb").read_text(encoding="utf-8"))
    answers = {cell["id"]: cell["source"] for cell in solution["cells"] if cell["id"].startswith("answer-")}
    for student in students:
        wanted = {"course_id": "mmcourse", "assignment_id": NAME}
        listed = student.ask("assignments", params={"course_id": "mmcourse"})["value"]
        assert [(one["assignment_id"], one["status"]) for one in listed] == [(NAME, "released")]
        assert student.ask("assignments/fetch", "POST", data=wanted)["success"]
        model = student.ask(path)
        if student.name == "ana":
            for cell in model["content"]["cells"]:
                cell["source"] = answers.get(cell["id"], cell["source"])
            student.ask(path, "PUT", json={"type": "notebook", "content": model["content"]})
        handed_in = student.ask("assignments/submit", "POST", data=wanted)
        assert handed_in["success"], handed_in
    hub.teacher("nbgrader", "collect", NAME)
    box = () if sandbox.bubblewrap() else ("--without-sandbox",)
    hub.teacher("mmcourse.cli", "grade", "submitted", "--report", "marks", *box)
    rows = list(csv.DictReader(open(assignment / "marks/nbgrader.csv", encoding="utf-8")))
    of = {float(row["max_score"]) for row in rows}
    assert len(of) == 1 and {row["student_id"]: float(row["score"]) for row in rows} == {"ana": max(of), "bo": 0}
