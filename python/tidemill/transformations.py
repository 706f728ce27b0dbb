"""Everything that transforms a stream, under one name: ``from tidemill.transformations import window, count, avg``.

The functions are those of `tidemill.functions`, which has a file for each subject; `aggregate` among them folds an
array. Aggregates over groups of rows are methods of the frame: ``stream.groupBy(..).agg(..)``.
"""

from tidemill.functions import *
