//! tidemill-ops
