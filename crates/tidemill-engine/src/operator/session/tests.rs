//! Sessions of random rows, in any split into epochs and with restarts, against a plain computation.
