//! The relations of the catalogue and their columns.
//! Source: PostgreSQL 15, chapters "System Catalogs" and "The Information Schema"; columns that nobody asks for are
//! left out.

use super::rows::{
    information_columns, information_schemata, information_tables, live_tables, pg_am, pg_attribute, pg_class,
    pg_database, pg_namespace, pg_proc, pg_roles, pg_settings, pg_tables, pg_type,
};
use super::{Relation, Row, World};

const fn filled(name: &'static str, columns: &'static str, rows: fn(&World) -> Vec<Row>) -> Relation {
    Relation { schema: "pg_catalog", name, columns, rows: Some(rows) }
}

const fn empty(name: &'static str, columns: &'static str) -> Relation {
    Relation { schema: "pg_catalog", name, columns, rows: None }
}

const fn standard(name: &'static str, columns: &'static str, rows: Option<fn(&World) -> Vec<Row>>) -> Relation {
    Relation { schema: "information_schema", name, columns, rows }
}

/// All relations.
pub(super) const RELATIONS: &[Relation] = &[
    filled(
        "pg_class",
        "oid:o relname:t relnamespace:o=2200 reltype:o=0 reloftype:o=0 relowner:o=10 relam:o=2 relfilenode:o=0 \
         reltablespace:o=0 relpages:i=0 reltuples:f=-1 relallvisible:i=0 reltoastrelid:o=0 relhasindex:b=f relisshared:b=f \
         relpersistence:c=p relkind:c=r relnatts:s=0 relchecks:s=0 relhasrules:b=f relhastriggers:b=f relhassubclass:b=f \
         relrowsecurity:b=f relforcerowsecurity:b=f relispopulated:b=t relreplident:c=d relispartition:b=f relrewrite:o=0 \
         relacl:a reloptions:a relpartbound:t",
        pg_class,
    ),
    filled(
        "pg_attribute",
        "attrelid:o attname:t atttypid:o attstattarget:i=-1 attlen:s=-1 attnum:s attndims:i=0 attcacheoff:i=-1 \
         atttypmod:i=-1 attbyval:b=f attalign:c=i attstorage:c=p attcompression:c= attnotnull:b=f atthasdef:b=f \
         atthasmissing:b=f attidentity:c= attgenerated:c= attisdropped:b=f attislocal:b=t attinhcount:i=0 attcollation:o=0 \
         attacl:a attoptions:a attfdwoptions:a",
        pg_attribute,
    ),
    filled("pg_namespace", "oid:o nspname:t nspowner:o=10 nspacl:a", pg_namespace),
    filled(
        "pg_type",
        "oid:o typname:t typnamespace:o=11 typowner:o=10 typlen:s typbyval:b=f typtype:c=b typcategory:c \
         typispreferred:b=f typisdefined:b=t typdelim:c=, typrelid:o=0 typsubscript:o=0 typelem:o=0 typarray:o=0 \
         typinput:o=0 typoutput:o=0 typreceive:o=0 typsend:o=0 typmodin:o=0 typmodout:o=0 typnotnull:b=f typbasetype:o=0 \
         typtypmod:i=-1 typndims:i=0 typcollation:o=0 typdefault:t",
        pg_type,
    ),
    filled(
        "pg_database",
        "oid:o datname:t datdba:o=10 encoding:i=6 datlocprovider:c=c datistemplate:b=f datallowconn:b=t datconnlimit:i=-1 \
         dattablespace:o=1663 datcollate:t=C datctype:t=C daticulocale:t datcollversion:t datacl:a",
        pg_database,
    ),
    filled(
        "pg_roles",
        "oid:o rolname:t rolsuper:b=f rolinherit:b=t rolcreaterole:b=f rolcreatedb:b=f rolcanlogin:b=t rolreplication:b=f \
         rolconnlimit:i=-1 rolvaliduntil:t rolbypassrls:b=f rolconfig:a",
        pg_roles,
    ),
    filled("pg_user", "usename:t usesysid:o=10 usecreatedb:b=f usesuper:b=f userepl:b=f usebypassrls:b=f", |world| {
        vec![vec![("usename", world.user.clone().into())]]
    }),
    filled("pg_am", "oid:o amname:t amhandler:o=3 amtype:c=t", pg_am),
    filled(
        "pg_proc",
        "oid:o proname:t pronamespace:o=11 proowner:o=10 prokind:c=f pronargs:s=0 prorettype:o=0",
        pg_proc,
    ),
    filled(
        "pg_settings",
        "name:t setting:t unit:t category:t short_desc:t context:t=internal vartype:t=string source:t=default",
        pg_settings,
    ),
    filled(
        "pg_tables",
        "schemaname:t tablename:t tableowner:t tablespace:t hasindexes:b=f hasrules:b=f hastriggers:b=f rowsecurity:b=f",
        pg_tables,
    ),
    empty("pg_aggregate", "aggfnoid:o aggkind:c"),
    empty("pg_attrdef", "oid:o adrelid:o adnum:s adbin:t"),
    empty("pg_auth_members", "roleid:o member:o grantor:o admin_option:b"),
    empty("pg_cast", "oid:o castsource:o casttarget:o castfunc:o castcontext:c castmethod:c"),
    empty("pg_collation", "oid:o collname:t collnamespace:o collowner:o collprovider:c collencoding:i"),
    empty(
        "pg_constraint",
        "oid:o conname:t connamespace:o contype:c condeferrable:b condeferred:b convalidated:b conrelid:o contypid:o \
         conindid:o conparentid:o confrelid:o confupdtype:c confdeltype:c confmatchtype:c conislocal:b conkey:v confkey:v \
         conbin:t",
    ),
    empty("pg_default_acl", "oid:o defaclrole:o defaclnamespace:o defaclobjtype:c"),
    empty("pg_depend", "classid:o objid:o objsubid:i refclassid:o refobjid:o refobjsubid:i deptype:c"),
    empty("pg_description", "objoid:o classoid:o objsubid:i description:t"),
    empty("pg_enum", "oid:o enumtypid:o enumsortorder:f enumlabel:t"),
    empty("pg_event_trigger", "oid:o evtname:t"),
    empty("pg_extension", "oid:o extname:t extowner:o extnamespace:o extversion:t"),
    empty("pg_foreign_data_wrapper", "oid:o fdwname:t"),
    empty("pg_foreign_server", "oid:o srvname:t srvfdw:o"),
    empty("pg_foreign_table", "ftrelid:o ftserver:o ftoptions:a"),
    empty(
        "pg_index",
        "indexrelid:o indrelid:o indnatts:s indnkeyatts:s indisunique:b indnullsnotdistinct:b indisprimary:b \
         indisexclusion:b indimmediate:b indisclustered:b indisvalid:b indisready:b indislive:b indisreplident:b indkey:v \
         indcollation:v indclass:v indoption:v indexprs:t indpred:t",
    ),
    empty("pg_indexes", "schemaname:t tablename:t indexname:t tablespace:t indexdef:t"),
    empty("pg_inherits", "inhrelid:o inhparent:o inhseqno:i inhdetachpending:b"),
    empty("pg_language", "oid:o lanname:t"),
    empty("pg_locks", "locktype:t database:o relation:o pid:i mode:t granted:b"),
    empty("pg_matviews", "schemaname:t matviewname:t matviewowner:t ispopulated:b definition:t"),
    empty("pg_opclass", "oid:o opcname:t opcmethod:o opcdefault:b opcintype:o"),
    empty("pg_operator", "oid:o oprname:t oprleft:o oprright:o"),
    empty("pg_partitioned_table", "partrelid:o partstrat:c partnatts:s"),
    empty("pg_policy", "oid:o polname:t polrelid:o polcmd:c polpermissive:b polroles:v polqual:t polwithcheck:t"),
    empty("pg_publication", "oid:o pubname:t puballtables:b"),
    empty("pg_publication_namespace", "oid:o pnpubid:o pnnspid:o"),
    empty("pg_publication_rel", "oid:o prpubid:o prrelid:o prqual:t prattrs:v"),
    empty("pg_range", "rngtypid:o rngsubtype:o rngmultitypid:o rngcollation:o rngsubopc:o"),
    empty("pg_rewrite", "oid:o rulename:t ev_class:o ev_type:c ev_enabled:c is_instead:b"),
    empty("pg_rules", "schemaname:t tablename:t rulename:t definition:t"),
    empty("pg_sequence", "seqrelid:o seqtypid:o seqstart:l seqincrement:l seqmax:l seqmin:l seqcache:l seqcycle:b"),
    empty("pg_sequences", "schemaname:t sequencename:t sequenceowner:t"),
    empty("pg_shdescription", "objoid:o classoid:o description:t"),
    empty("pg_stat_activity", "datid:o datname:t pid:i usename:t application_name:t state:t query:t"),
    empty("pg_stat_user_tables", "relid:o schemaname:t relname:t seq_scan:l n_live_tup:l n_dead_tup:l"),
    empty(
        "pg_statistic_ext",
        "oid:o stxrelid:o stxname:t stxnamespace:o stxowner:o stxstattarget:i stxkeys:v stxkind:v",
    ),
    empty("pg_subscription", "oid:o subname:t"),
    empty("pg_tablespace", "oid:o spcname:t spcowner:o spcacl:a"),
    empty(
        "pg_trigger",
        "oid:o tgrelid:o tgparentid:o tgname:t tgfoid:o tgtype:s tgenabled:c tgisinternal:b tgconstraint:o",
    ),
    empty("pg_ts_config", "oid:o cfgname:t cfgnamespace:o"),
    empty("pg_views", "schemaname:t viewname:t viewowner:t definition:t"),
    standard(
        "tables",
        "table_catalog:t=tidemill table_schema:t table_name:t table_type:t is_insertable_into:t=NO",
        Some(information_tables),
    ),
    standard(
        "columns",
        "table_catalog:t=tidemill table_schema:t table_name:t column_name:t ordinal_position:i column_default:t \
         is_nullable:t=YES data_type:t character_maximum_length:i character_octet_length:i numeric_precision:i \
         numeric_precision_radix:i numeric_scale:i datetime_precision:i interval_type:t collation_name:t domain_name:t \
         udt_catalog:t=tidemill udt_schema:t=pg_catalog udt_name:t is_identity:t=NO identity_generation:t \
         is_generated:t=NEVER generation_expression:t is_updatable:t=NO",
        Some(information_columns),
    ),
    standard("schemata", "catalog_name:t=tidemill schema_name:t schema_owner:t=tidemill", Some(information_schemata)),
    standard("character_sets", "character_set_name:t=UTF8 default_collate_name:t=C", Some(|_| vec![vec![]])),
    standard("views", "table_catalog:t table_schema:t table_name:t view_definition:t", None),
    standard("routines", "specific_schema:t specific_name:t routine_schema:t routine_name:t routine_type:t", None),
    standard("parameters", "specific_schema:t specific_name:t ordinal_position:i parameter_name:t", None),
    standard(
        "table_constraints",
        "constraint_catalog:t constraint_schema:t constraint_name:t table_schema:t table_name:t constraint_type:t",
        None,
    ),
    standard(
        "key_column_usage",
        "constraint_catalog:t constraint_schema:t constraint_name:t table_schema:t table_name:t column_name:t \
         ordinal_position:i position_in_unique_constraint:i",
        None,
    ),
    standard(
        "referential_constraints",
        "constraint_catalog:t constraint_schema:t constraint_name:t unique_constraint_catalog:t \
         unique_constraint_schema:t unique_constraint_name:t update_rule:t delete_rule:t",
        None,
    ),
    standard(
        "constraint_column_usage",
        "table_schema:t table_name:t column_name:t constraint_schema:t constraint_name:t",
        None,
    ),
    standard("sequences", "sequence_schema:t sequence_name:t data_type:t", None),
    Relation {
        schema: "tidemill",
        name: "live_tables",
        columns: "table_name:t output_mode:t epoch:l rows:l bytes:l",
        rows: Some(live_tables),
    },
];
