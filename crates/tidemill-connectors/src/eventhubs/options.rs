//! Options that source and sink share.

use tidemill_core::describe::{OptionKind, OptionSpec};

pub(super) const CONNECTION_STRING: OptionSpec = OptionSpec::new(
    "connection_string",
    OptionKind::Secret,
    "Endpoint=sb://<namespace>.servicebus.windows.net/;SharedAccessKeyName=..;SharedAccessKey=..[;EntityPath=<event hub>]. \
     With UseDevelopmentEmulator=true: the emulator, without TLS",
)
.aliases(&["eventhubs.connection_string"]);
pub(super) const EVENT_HUB: OptionSpec =
    OptionSpec::new("event_hub", OptionKind::Text, "the event hub; default: EntityPath of the connection string")
        .aliases(&["eventhub", "eventhubs.name", "topic"]);
pub(super) const NAMESPACE: OptionSpec = OptionSpec::new(
    "namespace",
    OptionKind::Text,
    "<namespace>.servicebus.windows.net, when Microsoft Entra ID says who we are; needs tenant_id, client_id and \
     client_secret, or managed_identity",
);
pub(super) const TENANT: OptionSpec =
    OptionSpec::new("tenant_id", OptionKind::Text, "the directory (tenant) of Entra ID");
pub(super) const CLIENT: OptionSpec = OptionSpec::new(
    "client_id",
    OptionKind::Text,
    "the application of Entra ID, or the managed identity if it is one of several",
);
pub(super) const CLIENT_SECRET: OptionSpec =
    OptionSpec::new("client_secret", OptionKind::Secret, "the application's secret");
pub(super) const MANAGED_IDENTITY: OptionSpec = OptionSpec::new(
    "managed_identity",
    OptionKind::Boolean,
    "the identity of this machine in Azure, from its instance metadata service",
);
pub(super) const TOKEN_ENDPOINT: OptionSpec = OptionSpec::new(
    "token_endpoint",
    OptionKind::Text,
    "where tokens come from; default: https://login.microsoftonline.com/<tenant_id>/oauth2/v2.0/token, with \
     managed_identity the instance metadata service",
);
pub(super) const TOKEN_SCOPE: OptionSpec =
    OptionSpec::new("token_scope", OptionKind::Text, "what tokens are for; default: https://<namespace>/.default");
