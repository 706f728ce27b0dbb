//! Statements: what is read, and what an error says.

use super::*;

fn parsed(content: &str) -> Result<Vec<Statement>> {
    parse(content, &Text::new("pipeline.sql", content))
}

#[test]
fn a_pipeline_of_four_statements() {
    let statements = parsed(
        "SET trigger = 'processing-time 1s';
         CREATE TABLE events (userId STRING NOT NULL, ts TIMESTAMP, d AS date_trunc('DAY', ts),
             WATERMARK FOR ts AS ts - INTERVAL '10 minutes') WITH (connector = 'kafka', 'max.x' = 3);
         CREATE VIEW v AS SELECT * FROM events WHERE userId LIKE 'a%';
         INSERT INTO out SELECT * FROM v",
    )
    .unwrap();
    assert_eq!(statements.len(), 4);
    let Statement::Set(set) = &statements[0] else { panic!("{:?}", statements[0]) };
    assert_eq!((set.key.as_str(), set.value.as_str()), ("trigger", "processing-time 1s"));
    let Statement::CreateTable(table) = &statements[1] else { panic!("{:?}", statements[1]) };
    assert_eq!(table.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["userId", "ts", "d"]);
    assert_eq!(
        table.watermark.as_ref().map(|(column, delay, _)| (column.as_str(), delay.as_str())),
        Some(("ts", "10 minutes"))
    );
    assert_eq!(table.options[1].key, "max.x");
    assert!(matches!(&statements[3], Statement::Insert { table, .. } if table == "out"));
}

#[test]
fn types_are_read_as_spark_writes_them() {
    let statements = parsed(
        "CREATE TABLE t (m MAP<STRING, ARRAY<INT>> NOT NULL COMMENT 'x', d DECIMAL(10,2),
             s STRUCT<a: INT NOT NULL, b: ARRAY<MAP<STRING,INT>>>, i INTERVAL DAY TO SECOND)",
    )
    .unwrap();
    let Statement::CreateTable(table) = &statements[0] else { panic!("{:?}", statements[0]) };
    let columns = table.columns.iter().map(|column| match &column.kind {
        ColumnKind::Stored { data_type, nullable } => (types::name(data_type), *nullable),
        ColumnKind::Computed(_) => panic!("{}", column.name),
    });
    let expected = [
        ("map<string,array<int>>", false),
        ("decimal(10,2)", true),
        ("struct<a:int,b:array<map<string,int>>>", true),
        ("interval day to second", true),
    ];
    assert_eq!(columns.collect::<Vec<_>>(), expected.map(|(name, nullable)| (name.to_owned(), nullable)));
}

#[test]
fn spark_s_using_and_options_are_read() {
    let statements =
        parsed("CREATE TABLE t (a INT) USING kafka OPTIONS (kafka.bootstrap.servers 'b:1', subscribe 'x')").unwrap();
    let Statement::CreateTable(table) = &statements[0] else { panic!() };
    let options: Vec<_> = table.options.iter().map(|option| (option.key.as_str(), option.value.as_str())).collect();
    assert_eq!(options, [("connector", "kafka"), ("kafka.bootstrap.servers", "b:1"), ("subscribe", "x")]);
}

#[test]
fn errors_point_at_the_text() {
    for (content, place, words) in [
        ("SELEC 1", "pipeline.sql:1:1", "there is no statement `SELEC`"),
        ("SELECT 1", "pipeline.sql:1:1", "go nowhere"),
        ("CREATE TABLE t (a STRNG)", "pipeline.sql:1:19", "there is no type called"),
        ("CREATE VIEW v AS\nSELECT a FROM", "pipeline.sql:2:", "expected"),
        ("INSERT OVERWRITE t SELECT 1", "pipeline.sql:1:8", "does not fit a stream"),
        ("CREATE TABLE t (ts TIMESTAMP, WATERMARK FOR ts AS 5)", "pipeline.sql:1:31", "cannot read this watermark"),
        ("SET x", "pipeline.sql:1:1", "cannot read this SET"),
    ] {
        let report = parsed(content).unwrap_err().report();
        assert!(report.contains(place) && report.contains(words), "{content}\n{report}");
    }
}
