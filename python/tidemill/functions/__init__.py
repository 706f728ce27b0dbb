"""Functions over columns, under PySpark's names: ``from tidemill import functions as F``.

A file for each subject; each function builds one call of the plan. What the engine does not have yet is refused by
name when the query is checked.
"""

from tidemill.functions.aggregate import *
from tidemill.functions.collection import *
from tidemill.functions.columns import *
from tidemill.functions.conditional import *
from tidemill.functions.datetime import *
from tidemill.functions.formats import *
from tidemill.functions.hashing import *
from tidemill.functions.math import *
from tidemill.functions.ranking import *
from tidemill.functions.string import *
