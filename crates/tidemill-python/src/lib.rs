//! tidemill-python
