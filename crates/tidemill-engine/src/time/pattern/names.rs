//! Names of months, days, eras, quarters and zones.

pub const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

pub const QUARTERS: [&str; 4] = ["1st quarter", "2nd quarter", "3rd quarter", "4th quarter"];

/// Short and long names of eras, the one before Christ first.
pub const ERAS: [(&str, &str); 2] = [("BC", "Before Christ"), ("AD", "Anno Domini")];

/// Abbreviations of zones, their long names, and the region text with them is read in.
pub const ZONES: &[(&str, &str, &str)] = &[
    ("UTC", "Coordinated Universal Time", "UTC"),
    ("GMT", "Greenwich Mean Time", "Etc/GMT"),
    ("BST", "British Summer Time", "Europe/London"),
    ("WET", "Western European Standard Time", "WET"),
    ("WEST", "Western European Summer Time", "WET"),
    ("CET", "Central European Standard Time", "CET"),
    ("CEST", "Central European Summer Time", "CET"),
    ("EET", "Eastern European Standard Time", "EET"),
    ("EEST", "Eastern European Summer Time", "EET"),
    ("MSK", "Moscow Standard Time", "Europe/Moscow"),
    ("EST", "Eastern Standard Time", "America/New_York"),
    ("EDT", "Eastern Daylight Time", "America/New_York"),
    ("CST", "Central Standard Time", "America/Chicago"),
    ("CDT", "Central Daylight Time", "America/Chicago"),
    ("MST", "Mountain Standard Time", "America/Denver"),
    ("MDT", "Mountain Daylight Time", "America/Denver"),
    ("PST", "Pacific Standard Time", "America/Los_Angeles"),
    ("PDT", "Pacific Daylight Time", "America/Los_Angeles"),
    ("AKST", "Alaska Standard Time", "America/Anchorage"),
    ("AKDT", "Alaska Daylight Time", "America/Anchorage"),
    ("HST", "Hawaii-Aleutian Standard Time", "Pacific/Honolulu"),
    ("IST", "India Standard Time", "Asia/Kolkata"),
    ("JST", "Japan Standard Time", "Asia/Tokyo"),
    ("KST", "Korean Standard Time", "Asia/Seoul"),
    ("AEST", "Australian Eastern Standard Time", "Australia/Sydney"),
    ("AEDT", "Australian Eastern Daylight Time", "Australia/Sydney"),
    ("NZST", "New Zealand Standard Time", "Pacific/Auckland"),
    ("NZDT", "New Zealand Daylight Time", "Pacific/Auckland"),
];
