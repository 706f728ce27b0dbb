//! tidemill-connectors
