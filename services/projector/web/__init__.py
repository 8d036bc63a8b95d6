"""The console: server-rendered pages over the read models. Everything works without JavaScript.

`pages` routes · `approvals` the one form that decides · `faults` errors as pages · `rendering`
templates · `presenting` filters · `words` states in words · `charts` bars · `people` who looks ·
`reads` what the pages ask of the store · `security` forms and headers · `assets` static files.
"""

from services.projector.web.console import add_console
from services.projector.web.people import Person

__all__ = ["Person", "add_console"]
