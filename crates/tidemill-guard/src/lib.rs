//! tidemill-guard
