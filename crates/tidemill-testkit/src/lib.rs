//! tidemill-testkit
