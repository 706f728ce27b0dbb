//! Every component of this crate, one line each.

use tidemill_core::Registry;

/// Adds every source, sink and format of this crate to `registry`.
pub fn register(registry: &mut Registry) {
    registry.add_source(crate::files::source::FilesSource::default());
    registry.add_sink(crate::files::sink::FilesSink::default());
    registry.add_source(crate::generator::Generator::default());
    registry.add_format(crate::format::csv::Csv);
    registry.add_format(crate::format::json::Json);
    registry.add_format(crate::format::parquet::Parquet);
    registry.add_format(crate::format::raw::Raw);
}
