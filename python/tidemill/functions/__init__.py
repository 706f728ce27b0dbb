"""Functions over columns, under PySpark's names: ``from tidemill import functions as F``.

A file for each subject; each function builds one call of the plan. What the engine does not have yet is refused by
name when the query is checked.
"""

import difflib as _difflib

from tidemill.functions.aggregate import *
from tidemill.functions.collection import *
from tidemill.functions.columns import *
from tidemill.functions.conditional import *
from tidemill.functions.datetime import *
from tidemill.functions.formats import *
from tidemill.functions.hashing import *
from tidemill.functions.making import *
from tidemill.functions.math import *
from tidemill.functions.ranking import *
from tidemill.functions.string import *
from tidemill.functions.user import *


def __getattr__(name: str) -> object:
    """A function that is not there: the error names the nearest one."""
    near = _difflib.get_close_matches(name, [known for known in globals() if not known.startswith("_")], 1)
    advice = f"; did you mean `{near[0]}`?" if near else ""
    raise AttributeError(f"there is no function `{name}` in tidemill.functions{advice}")
