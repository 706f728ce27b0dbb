//! Words that made-up people and things are called by. E-mail addresses, telephone numbers and web
//! addresses are of ranges set aside for examples, so that none belongs to anyone.

pub(super) const FIRST_NAMES: &[&str] = &[
    "Ada", "Amara", "Anna", "Ben", "Carlos", "Chen", "Diego", "Elif", "Emma", "Fatima", "Finn", "Grace", "Hana", "Ivan",
    "Jonas", "Kofi", "Lea", "Liam", "Maria", "Mei", "Noah", "Olga", "Omar", "Paul", "Priya", "Rosa", "Sara", "Tom",
    "Uma", "Yuki", "Zara", "Zoe",
];
pub(super) const LAST_NAMES: &[&str] = &[
    "Adeyemi", "Bauer", "Brown", "Costa", "Dubois", "Evans", "Ferrari", "Garcia", "Haddad", "Ivanova", "Jensen", "Kaya",
    "Kim", "Kowalski", "Lee", "Lopez", "Martin", "Meyer", "Mwangi", "Nakamura", "Nguyen", "Okafor", "Patel", "Rossi",
    "Sato", "Schmidt", "Silva", "Singh", "Smith", "Tanaka", "Wang", "Weber",
];
/// Country codes with a city of each.
pub(super) const PLACES: &[(&str, &str)] = &[
    ("US", "New York"), ("US", "Chicago"), ("US", "Austin"), ("US", "Seattle"), ("DE", "Berlin"), ("DE", "Hamburg"),
    ("GB", "London"), ("GB", "Leeds"), ("FR", "Paris"), ("FR", "Lyon"), ("IN", "Mumbai"), ("IN", "Pune"),
    ("BR", "São Paulo"), ("JP", "Osaka"), ("ES", "Sevilla"), ("IT", "Torino"), ("NL", "Utrecht"), ("PL", "Kraków"),
    ("NG", "Lagos"), ("MX", "Puebla"), ("CA", "Toronto"), ("AU", "Perth"), ("TR", "Izmir"), ("KR", "Busan"),
];
/// What users do, and how many of a thousand events are that.
pub(super) const EVENT_TYPES: &[(&str, u64)] = &[
    ("page_view", 450), ("click", 250), ("search", 100), ("add_cart", 80), ("purchase", 40), ("login", 30),
    ("share", 30), ("logout", 20),
];
pub(super) const PRODUCTS: &[&str] = &[
    "backpack", "bicycle", "blender", "camera", "chair", "desk lamp", "headphones", "jacket", "keyboard", "kettle",
    "monitor", "notebook", "phone case", "running shoes", "sunglasses", "tent", "toaster", "umbrella", "wallet", "watch",
];
pub(super) const CATEGORIES: &[&str] = &["books", "clothing", "electronics", "garden", "kitchen", "sports", "toys"];
pub(super) const STATUSES: &[&str] = &["active", "active", "active", "pending", "completed", "cancelled", "failed"];
pub(super) const CURRENCIES: &[&str] = &["USD", "EUR", "GBP", "JPY", "INR", "BRL"];
pub(super) const DEVICES: &[&str] = &["mobile", "mobile", "desktop", "desktop", "tablet", "tv"];
pub(super) const BROWSERS: &[&str] = &["Chrome", "Safari", "Firefox", "Edge", "Samsung Internet"];
pub(super) const SYSTEMS: &[&str] = &["Android", "iOS", "Windows", "macOS", "Linux"];
pub(super) const CHANNELS: &[&str] = &["web", "app", "store", "email", "ads", "partner"];
pub(super) const LANGUAGES: &[&str] = &["en", "de", "fr", "es", "pt", "hi", "ja", "pl"];
pub(super) const COMPANIES: &[&str] = &["Acme", "Bluebird", "Cedar", "Dunes", "Elm & Oak", "Fjord", "Gale", "Harbor"];
pub(super) const COLORS: &[&str] = &["black", "blue", "green", "grey", "orange", "red", "white", "yellow"];
pub(super) const PAGES: &[&str] = &["home", "search", "product", "cart", "checkout", "account", "help", "blog"];
pub(super) const STREETS: &[&str] = &["Oak Street", "Mill Lane", "Station Road", "High Street", "Lake Avenue", "Park Row"];
pub(super) const NOUNS: &[&str] = &[
    "amber", "birch", "cloud", "delta", "ember", "field", "glade", "hill", "island", "jade", "knoll", "lake", "meadow",
    "north", "ocean", "pine", "quartz", "river", "stone", "tide",
];
