"""nbgrader for the teacher (a copy of this file lies in the course's folder) and, by the hub, for the students."""

import os

c = get_config()                                      # noqa: F821  (nbgrader has the name)
c.CourseDirectory.course_id = "mmcourse"
c.Exchange.root = os.path.join(os.environ.get("MMCOURSE_HUB", os.path.expanduser("~/mmcourse-hub")), "exchange")
if "JUPYTERHUB_USER" in os.environ:                   # for nbgrader, who hands in is else the user of the machine
    c.CourseDirectory.student_id = os.environ["JUPYTERHUB_USER"]
c.ExchangeCollect.check_owner = False                 # and on this hub all students are one user
c.ExecutePreprocessor.timeout = 120
c.ClearSolutions.code_stub = {"python": "# YOUR CODE HERE\nraise NotImplementedError('not written yet')"}
