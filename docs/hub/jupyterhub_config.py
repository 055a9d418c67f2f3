"""A JupyterHub for one machine, to try a class on. docs/classes.md tells how to start it.

All students have one password and are one user of this machine, so nothing on it is hidden from them.
"""

import os
import sys
from pathlib import Path

c = get_config()                                      # noqa: F821  (JupyterHub has the name)
here = Path(__file__).resolve().parent
folder = Path(os.environ.get("MMCOURSE_HUB", "~/mmcourse-hub")).expanduser().resolve()
port, hub_port, proxy_port = os.environ.get("MMCOURSE_HUB_PORTS", "8000 8081 8001").split()
if len(os.environ.get("MMCOURSE_HUB_PASSWORD", "")) < 8:
    sys.exit("Choose the students' password: put 8 characters or more into the variable MMCOURSE_HUB_PASSWORD.")
for name in ("course", "exchange", "home"):           # the teacher's, what both see, the students'
    (folder / name).mkdir(parents=True, exist_ok=True)
(folder / "exchange").chmod(0o777)                    # nbgrader wants it so where students are users of their own

c.JupyterHub.bind_url = f"http://127.0.0.1:{port}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{hub_port}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.pid_file = str(folder / "proxy.pid")
c.JupyterHub.db_url = f"sqlite:///{folder}/hub.sqlite"
c.JupyterHub.cookie_secret_file = str(folder / "cookie_secret")

c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = os.environ["MMCOURSE_HUB_PASSWORD"]
c.Authenticator.allowed_users = {"ana", "bo"}

c.JupyterHub.spawner_class = "simple"                 # each student's server is a process of this user
c.SimpleLocalProcessSpawner.home_dir_template = f"{folder}/home/{{username}}"
c.Spawner.default_url = "/lab"
c.Spawner.args = ["--allow-root"] if os.geteuid() == 0 else []    # as in a container
c.Spawner.start_timeout = c.Spawner.http_timeout = 300   # seconds: a whole class may start at once
c.Spawner.environment = {
    "JUPYTER_CONFIG_PATH": str(here),                 # nbgrader's settings; its pages for teachers are off
    "MMCOURSE_HUB": str(folder),
    "MMCOURSE_WORK": lambda spawner: f"{folder}/home/{spawner.user.name}/my_work",
    "OMP_NUM_THREADS": "2",
}
