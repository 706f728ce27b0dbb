//! Every component of this crate, one line each.

use tidemill_core::Registry;

/// Adds every source, sink and format of this crate to `registry`. Tables in memory are not among them:
/// a program that wants them adds `memory::MemorySink` and `memory::MemorySource` with its own store.
pub fn register(registry: &mut Registry) {
    registry.add_source(crate::delta::DeltaSourceConnector);
    registry.add_source(crate::eventhubs::EventHubsSourceConnector::default());
    registry.add_source(crate::files::source::FilesSource::default());
    registry.add_source(crate::generator::Generator::default());
    registry.add_source(crate::kafka::KafkaSourceConnector::default());
    registry.add_source(crate::kinesis::KinesisSourceConnector::default());
    registry.add_source(crate::log::LogSourceConnector);
    registry.add_source(crate::mqtt::MqttSourceConnector::default());
    registry.add_source(crate::postgres::PostgresCdcConnector);
    registry.add_source(crate::webhook::WebhookSourceConnector::default());

    registry.add_sink(crate::capture::CaptureSinkConnector::default());
    registry.add_sink(crate::console::Console::default());
    registry.add_sink(crate::delta::DeltaSinkConnector::default());
    registry.add_sink(crate::eventhubs::EventHubsSinkConnector::default());
    registry.add_sink(crate::feast::FeastSinkConnector);
    registry.add_sink(crate::files::sink::FilesSink::default());
    registry.add_sink(crate::http::HttpSinkConnector::default());
    registry.add_sink(crate::kafka::KafkaSinkConnector::default());
    registry.add_sink(crate::kinesis::KinesisSinkConnector::default());
    registry.add_sink(crate::live::LiveSinkConnector::default());
    registry.add_sink(crate::log::LogSinkConnector::default());
    registry.add_sink(crate::mqtt::MqttSinkConnector::default());
    registry.add_sink(crate::postgres::PostgresSinkConnector);
    registry.add_sink(crate::redis::RedisSinkConnector);

    registry.add_format(crate::format::avro::Avro);
    registry.add_format(crate::format::cloudevents::CloudEvents);
    registry.add_format(crate::format::csv::Csv);
    registry.add_format(crate::format::debezium::DebeziumAvro);
    registry.add_format(crate::format::debezium::DebeziumJson);
    registry.add_format(crate::format::json::Json);
    registry.add_format(crate::format::parquet::Parquet);
    registry.add_format(crate::format::protobuf::Protobuf);
    registry.add_format(crate::format::raw::Raw);

    registry.set_schemas(crate::schema_registry::RegisteredSchemas);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill_core::Options;
    use tidemill_core::describe::{Description, OptionSpec, Role};
    use tidemill_core::options::GivenOption;

    fn known() -> Registry {
        let mut registry = Registry::default();
        register(&mut registry);
        registry
    }

    /// The options of an example, `key = 'value'` with commas between.
    fn given(example: &str) -> Vec<GivenOption> {
        let pairs = example.split("', ").map(|pair| pair.trim_end_matches('\'').split_once(" = '").unwrap());
        pairs.map(|(key, value)| GivenOption::new(key, value)).collect()
    }

    #[test]
    fn every_example_passes_the_check_of_its_options() {
        let registry = known();
        for description in registry.descriptions() {
            let mut given = given(description.example);
            let named = |given: &mut Vec<GivenOption>, key: &str| {
                let at = given.iter().position(|option| option.key == key)?;
                Some(given.remove(at).value)
            };
            let connector = named(&mut given, "connector").unwrap();
            let format = named(&mut given, "format");
            // the engine's own: every table takes them
            named(&mut given, "static");
            named(&mut given, "schema_registry");
            let format: &[OptionSpec] = match &format {
                Some(format) => registry.format(format).unwrap().describe().options,
                None => &[],
            };
            let connector: &Description = match description.role {
                Role::Sink => registry.sink(&connector).unwrap().describe(),
                Role::Source | Role::Format => registry.source(&connector).unwrap().describe(),
            };
            let owner = format!("{:?} '{}'", description.role, description.name);
            Options::check(&owner, &[connector.options, format], &given).unwrap();
        }
    }

    #[test]
    fn every_default_is_of_its_options_type_and_every_help_says_something() {
        for description in known().descriptions() {
            for option in description.options {
                assert!(!option.help.is_empty(), "{}", option.name);
                if let Some(default) = option.default {
                    let given = [GivenOption::new(option.name, default)];
                    Options::check(description.name, &[&[*option]], &given).unwrap();
                }
            }
        }
    }
}
