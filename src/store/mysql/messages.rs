//! What may be told of MySQL's and MariaDB's messages: they have values in them, and no field of their own for names; and
//! SIGNAL may say anything with any number. So each known number has its templates (MariaDB's `errmsg-utf8.txt`, MySQL's
//! "Server Error Message Reference"), and a name is told where the statement or the schema has one.

use super::super::redact::{self, Names};

/// A number's symbol, and how it is worded.
type Known = (u16, &'static str, &'static [&'static str]);

/// A number's symbol, as both servers' manuals have it.
pub(super) fn symbol(code: u16) -> Option<&'static str> {
    known(code).map(|(_, symbol, _)| *symbol)
}

/// What may be told of a message; `None`: nothing of it.
pub(super) fn told(code: u16, message: &str, names: &Names) -> Option<String> {
    let (.., templates) = known(code)?;
    redact::filled(message, templates, &with_own(names))
}

/// Names in a message that are not known yet.
pub(super) fn unknown(code: u16, message: &str, names: &Names) -> Vec<String> {
    let Some((.., templates)) = known(code) else {
        return Vec::new();
    };
    let found = redact::unknown(message, templates, &with_own(names));
    found.into_iter().map(str::to_owned).collect()
}

fn known(code: u16) -> Option<&'static Known> {
    let place = KNOWN.binary_search_by_key(&code, |(code, ..)| *code);
    place.ok().map(|place| &KNOWN[place])
}

/// With the words that servers put in a name's place.
fn with_own(names: &Names) -> Names {
    let mut all = names.clone();
    all.add_words(OWN);
    all
}

const OWN: &str = "MariaDB MySQL PRIMARY NEW OLD GROUP ORDER FROM BY \
    bit tinyint smallint mediumint int integer bigint decimal numeric float double real date time datetime timestamp year char \
    varchar text tinytext mediumtext longtext blob tinyblob mediumblob longblob binary varbinary enum set json uuid inet4 inet6 \
    string point geometry linestring polygon interval unsigned signed boolean \
    where clause field list having on group order statement function procedure trigger view event table sequence package \
    InnoDB MyISAM Aria MEMORY MERGE CSV ARCHIVE SEQUENCE RocksDB partition \
    ALL ALTER ROUTINE CREATE DELETE DROP EXECUTE INDEX INSERT LOCK TABLES REFERENCES SELECT SHOW VIEW TRIGGER UPDATE FILE PROCESS \
    RELOAD SUPER EVENT GRANT OPTION USAGE SHUTDOWN REPLICATION CLIENT SLAVE USER BINLOG ADMIN MONITOR READ_ONLY CONNECTION \
    SET_USER SET_USER_ID SET_ANY_DEFINER ALLOW_NONEXISTENT_DEFINER SYSTEM_VARIABLES_ADMIN SESSION_VARIABLES_ADMIN SYSTEM_USER \
    BACKUP_ADMIN BINLOG_ADMIN CONNECTION_ADMIN SHOW_ROUTINE FLUSH_TABLES ROLE_ADMIN LIBRARY HISTORY ONLY or \
    utf8 utf8mb3 utf8mb4 latin1 ascii ucs2 utf16 utf32 cp1250 cp1251 cp1252 YES NO";

const KNOWN: &[Known] = &[
    (
        1005,
        "ER_CANT_CREATE_TABLE",
        &[
            "Can't create table {} (errno: {#} \"{*}\")",
            "Can't create table '{}' (errno: {#} - {*})",
        ],
    ),
    (
        1006,
        "ER_CANT_CREATE_DB",
        &[
            "Can't create database '{}' (errno: {#} \"{*}\")",
            "Can't create database '{}' (errno: {#} - {*})",
        ],
    ),
    (
        1007,
        "ER_DB_CREATE_EXISTS",
        &["Can't create database '{}'; database exists"],
    ),
    (
        1008,
        "ER_DB_DROP_EXISTS",
        &["Can't drop database '{}'; database doesn't exist"],
    ),
    (
        1010,
        "ER_DB_DROP_RMDIR",
        &[
            "Error dropping database (can't rmdir '{*}', errno: {#} \"{*}\")",
            "Error dropping database (can't rmdir '{*}', errno: {#} - {*})",
        ],
    ),
    (
        1020,
        "ER_CHECKREAD",
        &[
            "Record has changed since last read in table '{}'; try restarting transaction",
            "Record has changed since last read in table '{}'",
        ],
    ),
    (
        1021,
        "ER_DISK_FULL",
        &[
            "Disk full ({*}); waiting for someone to free some space... (errno: {#} \"{*}\")",
            "Disk full ({*}); waiting for someone to free some space... (errno: {#} - {*})",
        ],
    ),
    (
        1022,
        "ER_DUP_KEY",
        &["Can't write; duplicate key in table '{}'"],
    ),
    (
        1025,
        "ER_ERROR_ON_RENAME",
        &[
            "Error on rename of '{*}' to '{*}' (errno: {#} \"{*}\")",
            "Error on rename of '{*}' to '{*}' (errno: {#} - {*})",
        ],
    ),
    (
        1030,
        "ER_GET_ERRNO",
        &[
            "Got error {#} \"No space left on device\" from storage engine {}",
            "Got error {#} \"{*}\" from storage engine {}",
            "Got error {#} - '{*}' from storage engine",
        ],
    ),
    (
        1031,
        "ER_ILLEGAL_HA",
        &[
            "Storage engine {} of the table {} doesn't have this option",
            "Table storage engine for '{}' doesn't have this option",
        ],
    ),
    (
        1034,
        "ER_NOT_KEYFILE",
        &[
            "Index for table '{}' is corrupt; try to repair it",
            "Incorrect key file for table '{}'; try to repair it",
        ],
    ),
    (1036, "ER_OPEN_AS_READONLY", &["Table '{}' is read only"]),
    (
        1037,
        "ER_OUTOFMEMORY",
        &["Out of memory; restart server and try again (needed {*} bytes)"],
    ),
    (
        1038,
        "ER_OUT_OF_SORTMEMORY",
        &[
            "Out of sort memory, consider increasing server sort buffer size",
            "Out of sort memory, consider increasing server sort buffer size!",
        ],
    ),
    (1040, "ER_CON_COUNT_ERROR", &["Too many connections"]),
    (1041, "ER_OUT_OF_RESOURCES", &["Out of memory."]),
    (
        1044,
        "ER_DBACCESS_DENIED_ERROR",
        &["Access denied for user '{}'@'{}' to database '{}'"],
    ),
    (
        1045,
        "ER_ACCESS_DENIED_ERROR",
        &["Access denied for user '{}'@'{}' (using password: {})"],
    ),
    (1046, "ER_NO_DB_ERROR", &["No database selected"]),
    (1048, "ER_BAD_NULL_ERROR", &["Column '{}' cannot be null"]),
    (1049, "ER_BAD_DB_ERROR", &["Unknown database '{}'"]),
    (
        1050,
        "ER_TABLE_EXISTS_ERROR",
        &["Table '{}' already exists"],
    ),
    (1051, "ER_BAD_TABLE_ERROR", &["Unknown table '{}'"]),
    (
        1052,
        "ER_NON_UNIQ_ERROR",
        &["Column '{}' in {} is ambiguous"],
    ),
    (1053, "ER_SERVER_SHUTDOWN", &["Server shutdown in progress"]),
    (1054, "ER_BAD_FIELD_ERROR", &["Unknown column '{}' in '{}'"]),
    (
        1055,
        "ER_WRONG_FIELD_WITH_GROUP",
        &["'{}' isn't in GROUP BY"],
    ),
    (1060, "ER_DUP_FIELDNAME", &["Duplicate column name '{}'"]),
    (1061, "ER_DUP_KEYNAME", &["Duplicate key name '{}'"]),
    (
        1062,
        "ER_DUP_ENTRY",
        &[
            "Duplicate entry '{*}' for key '{}'",
            "Duplicate entry '{*}' for key {#}",
        ],
    ),
    (
        1064,
        "ER_PARSE_ERROR",
        &[
            "You have an error in your SQL syntax; check the manual that corresponds to your {} server version for the right syntax to use near '{*}' at line {#}",
            "{*} near '{*}' at line {#}",
        ],
    ),
    (1065, "ER_EMPTY_QUERY", &["Query was empty"]),
    (1066, "ER_NONUNIQ_TABLE", &["Not unique table/alias: '{}'"]),
    (
        1067,
        "ER_INVALID_DEFAULT",
        &["Invalid default value for '{}'"],
    ),
    (
        1068,
        "ER_MULTIPLE_PRI_KEY",
        &["Multiple primary key defined"],
    ),
    (
        1071,
        "ER_TOO_LONG_KEY",
        &["Specified key was too long; max key length is {#} bytes"],
    ),
    (
        1072,
        "ER_KEY_COLUMN_DOES_NOT_EXIST",
        &["Key column '{}' doesn't exist in table"],
    ),
    (
        1075,
        "ER_WRONG_AUTO_KEY",
        &[
            "Incorrect table definition; there can be only one auto column and it must be defined as a key",
        ],
    ),
    (1077, "ER_NORMAL_SHUTDOWN", &["{*}: Normal shutdown"]),
    (
        1091,
        "ER_CANT_DROP_FIELD_OR_KEY",
        &[
            "Can't DROP {} {}; check that it exists",
            "Can't DROP '{}'; check that column/key exists",
        ],
    ),
    (
        1093,
        "ER_UPDATE_TABLE_USED",
        &[
            "Table '{}' is specified twice, both as a target for '{}' and as a separate source for data",
            "You can't specify target table '{}' for update in FROM clause",
        ],
    ),
    (1094, "ER_NO_SUCH_THREAD", &["Unknown thread id: {*}"]),
    (
        1099,
        "ER_TABLE_NOT_LOCKED_FOR_WRITE",
        &["Table '{}' was locked with a READ lock and can't be updated"],
    ),
    (
        1100,
        "ER_TABLE_NOT_LOCKED",
        &["Table '{}' was not locked with LOCK TABLES"],
    ),
    (
        1104,
        "ER_TOO_BIG_SELECT",
        &[
            "The SELECT would examine more than MAX_JOIN_SIZE rows; check your WHERE and use SET SQL_BIG_SELECTS=1 or SET MAX_JOIN_SIZE=# if the SELECT is okay",
        ],
    ),
    (1105, "ER_UNKNOWN_ERROR", &["Unknown error"]),
    (1109, "ER_UNKNOWN_TABLE", &["Unknown table '{}' in {}"]),
    (
        1110,
        "ER_FIELD_SPECIFIED_TWICE",
        &["Column '{}' specified twice"],
    ),
    (1114, "ER_RECORD_FILE_FULL", &["The table '{}' is full"]),
    (
        1115,
        "ER_UNKNOWN_CHARACTER_SET",
        &["Unknown character set: '{}'"],
    ),
    (1117, "ER_TOO_MANY_FIELDS", &["Too many columns"]),
    (
        1118,
        "ER_TOO_BIG_ROWSIZE",
        &[
            "Row size too large. The maximum row size for the used table type, not counting BLOBs, is {*}. This includes storage overhead, check the manual. You have to change some columns to TEXT or BLOBs",
            "Row size too large (> {#}). Changing some columns to TEXT or BLOB {*}",
        ],
    ),
    (1119, "ER_STACK_OVERRUN", &[]),
    (
        1130,
        "ER_HOST_NOT_PRIVILEGED",
        &["Host '{}' is not allowed to connect to this {} server"],
    ),
    (
        1136,
        "ER_WRONG_VALUE_COUNT_ON_ROW",
        &["Column count doesn't match value count at row {#}"],
    ),
    (
        1138,
        "ER_INVALID_USE_OF_NULL",
        &["Invalid use of NULL value"],
    ),
    (
        1139,
        "ER_REGEXP_ERROR",
        &["Regex error '{*}'", "Got error '{*}' from regexp"],
    ),
    (
        1141,
        "ER_NONEXISTING_GRANT",
        &["There is no such grant defined for user '{}' on host '{}'"],
    ),
    (
        1142,
        "ER_TABLEACCESS_DENIED_ERROR",
        &["{} command denied to user '{}'@'{}' for table {}"],
    ),
    (
        1143,
        "ER_COLUMNACCESS_DENIED_ERROR",
        &["{} command denied to user '{}'@'{}' for column '{}' in table '{}'"],
    ),
    (1146, "ER_NO_SUCH_TABLE", &["Table '{}' doesn't exist"]),
    (
        1148,
        "ER_NOT_ALLOWED_COMMAND",
        &[
            "The used command is not allowed with this {} version",
            "The used command is not allowed because the MariaDB server or client has disabled the local infile capability",
        ],
    ),
    (
        1149,
        "ER_SYNTAX_ERROR",
        &[
            "You have an error in your SQL syntax; check the manual that corresponds to your {} server version for the right syntax to use",
        ],
    ),
    (
        1153,
        "ER_NET_PACKET_TOO_LARGE",
        &["Got a packet bigger than 'max_allowed_packet' bytes"],
    ),
    (
        1159,
        "ER_NET_READ_INTERRUPTED",
        &["Got timeout reading communication packets"],
    ),
    (
        1170,
        "ER_BLOB_KEY_WITHOUT_LENGTH",
        &["BLOB/TEXT column '{}' used in key specification without a key length"],
    ),
    (
        1171,
        "ER_PRIMARY_CANT_HAVE_NULL",
        &[
            "All parts of a PRIMARY KEY must be NOT NULL; if you need NULL in a key, use UNIQUE instead",
        ],
    ),
    (
        1172,
        "ER_TOO_MANY_ROWS",
        &["Result consisted of more than one row"],
    ),
    (
        1176,
        "ER_KEY_DOES_NOT_EXISTS",
        &["Key '{}' doesn't exist in table '{}'"],
    ),
    (
        1179,
        "ER_CANT_DO_THIS_DURING_AN_TRANSACTION",
        &["You are not allowed to execute this command in a transaction"],
    ),
    (
        1180,
        "ER_ERROR_DURING_COMMIT",
        &[
            "Got error {#} \"{*}\" during COMMIT",
            "Got error {#} - '{*}' during COMMIT",
        ],
    ),
    (
        1192,
        "ER_LOCK_OR_ACTIVE_TRANSACTION",
        &[
            "Can't execute the given command because you have active locked tables or an active transaction",
        ],
    ),
    (
        1193,
        "ER_UNKNOWN_SYSTEM_VARIABLE",
        &["Unknown system variable '{}'"],
    ),
    (
        1194,
        "ER_CRASHED_ON_USAGE",
        &["Table '{}' is marked as crashed and should be repaired"],
    ),
    (
        1195,
        "ER_CRASHED_ON_REPAIR",
        &["Table '{}' is marked as crashed and last (automatic?) repair failed"],
    ),
    (
        1203,
        "ER_TOO_MANY_USER_CONNECTIONS",
        &["User {} already has more than 'max_user_connections' active connections"],
    ),
    (
        1205,
        "ER_LOCK_WAIT_TIMEOUT",
        &["Lock wait timeout exceeded; try restarting transaction"],
    ),
    (
        1206,
        "ER_LOCK_TABLE_FULL",
        &["The total number of locks exceeds the lock table size"],
    ),
    (
        1213,
        "ER_LOCK_DEADLOCK",
        &["Deadlock found when trying to get lock; try restarting transaction"],
    ),
    (
        1215,
        "ER_CANNOT_ADD_FOREIGN",
        &[
            "Cannot add foreign key constraint for `{}`",
            "Cannot add foreign key constraint",
        ],
    ),
    (
        1216,
        "ER_NO_REFERENCED_ROW",
        &["Cannot add or update a child row: a foreign key constraint fails"],
    ),
    (
        1217,
        "ER_ROW_IS_REFERENCED",
        &["Cannot delete or update a parent row: a foreign key constraint fails"],
    ),
    (
        1222,
        "ER_WRONG_NUMBER_OF_COLUMNS_IN_SELECT",
        &["The used SELECT statements have a different number of columns"],
    ),
    (
        1223,
        "ER_CANT_UPDATE_WITH_READLOCK",
        &["Can't execute the query because you have a conflicting read lock"],
    ),
    (
        1226,
        "ER_USER_LIMIT_REACHED",
        &["User '{}' has exceeded the '{*}' resource (current value: {#})"],
    ),
    (
        1227,
        "ER_SPECIFIC_ACCESS_DENIED_ERROR",
        &["Access denied; you need (at least one of) the {} privilege(s) for this operation"],
    ),
    (
        1231,
        "ER_WRONG_VALUE_FOR_VAR",
        &["Variable '{}' can't be set to the value of '{*}'"],
    ),
    (
        1232,
        "ER_WRONG_TYPE_FOR_VAR",
        &["Incorrect argument type to variable '{}'"],
    ),
    (
        1235,
        "ER_NOT_SUPPORTED_YET",
        &["This version of {} doesn't yet support '{*}'"],
    ),
    (
        1238,
        "ER_INCORRECT_GLOBAL_LOCAL_VAR",
        &["Variable '{}' is a {*} variable"],
    ),
    (
        1241,
        "ER_OPERAND_COLUMNS",
        &["Operand should contain {#} column(s)"],
    ),
    (
        1242,
        "ER_SUBQUERY_NO_1_ROW",
        &["Subquery returns more than 1 row"],
    ),
    (
        1248,
        "ER_DERIVED_MUST_HAVE_ALIAS",
        &["Every derived table must have its own alias"],
    ),
    (
        1253,
        "ER_COLLATION_CHARSET_MISMATCH",
        &["COLLATION '{}' is not valid for CHARACTER SET '{}'"],
    ),
    (
        1259,
        "ER_ZLIB_Z_DATA_ERROR",
        &["ZLIB: Input data corrupted"],
    ),
    (
        1260,
        "ER_CUT_VALUE_GROUP_CONCAT",
        &[
            "Row {*} was cut by {*})",
            "Row {*} was cut by GROUP_CONCAT()",
        ],
    ),
    (
        1261,
        "ER_WARN_TOO_FEW_RECORDS",
        &["Row {*} doesn't contain data for all columns"],
    ),
    (
        1262,
        "ER_WARN_TOO_MANY_RECORDS",
        &["Row {*} was truncated; it contained more data than there were input columns"],
    ),
    (
        1263,
        "ER_WARN_NULL_TO_NOTNULL",
        &["Column set to default value; NULL supplied to NOT NULL column '{}' at row {*}"],
    ),
    (
        1264,
        "ER_WARN_DATA_OUT_OF_RANGE",
        &["Out of range value for column '{}' at row {*}"],
    ),
    (
        1265,
        "WARN_DATA_TRUNCATED",
        &["Data truncated for column '{}' at row {*}"],
    ),
    (
        1267,
        "ER_CANT_AGGREGATE_2COLLATIONS",
        &["Illegal mix of collations ({*}) and ({*}) for operation '{*}'"],
    ),
    (
        1271,
        "ER_CANT_AGGREGATE_NCOLLATIONS",
        &["Illegal mix of collations for operation '{*}'"],
    ),
    (1273, "ER_UNKNOWN_COLLATION", &["Unknown collation: '{}'"]),
    (
        1286,
        "ER_UNKNOWN_STORAGE_ENGINE",
        &["Unknown storage engine '{}'"],
    ),
    (
        1288,
        "ER_NON_UPDATABLE_TABLE",
        &["The target table {} of the {} is not updatable"],
    ),
    (
        1290,
        "ER_OPTION_PREVENTS_STATEMENT",
        &["The {} server is running with the {*} option so it cannot execute this statement"],
    ),
    (
        1291,
        "ER_DUPLICATED_VALUE_IN_TYPE",
        &["Column '{}' has duplicated value '{*}' in {}"],
    ),
    (
        1292,
        "ER_TRUNCATED_WRONG_VALUE",
        &[
            "Truncated incorrect {} value: '{*}'",
            "Incorrect {} value: '{*}' for column '{}' at row {*}",
            "Incorrect {} value: '{*}' for column {} at row {*}",
            "Incorrect {} value: '{*}'",
        ],
    ),
    (
        1294,
        "ER_INVALID_ON_UPDATE",
        &["Invalid ON UPDATE clause for '{}' column"],
    ),
    (1296, "ER_GET_ERRMSG", &[]),
    (
        1298,
        "ER_UNKNOWN_TIME_ZONE",
        &["Unknown or incorrect time zone: '{*}'"],
    ),
    (
        1299,
        "ER_WARN_INVALID_TIMESTAMP",
        &["Invalid TIMESTAMP value in column '{}' at row {*}"],
    ),
    (
        1300,
        "ER_INVALID_CHARACTER_STRING",
        &["Invalid {} character string: '{*}'"],
    ),
    (
        1301,
        "ER_WARN_ALLOWED_PACKET_OVERFLOWED",
        &["Result of {*}() was larger than max_allowed_packet ({*}) - truncated"],
    ),
    (1304, "ER_SP_ALREADY_EXISTS", &["{} {} already exists"]),
    (1305, "ER_SP_DOES_NOT_EXIST", &["{} {} does not exist"]),
    (
        1317,
        "ER_QUERY_INTERRUPTED",
        &["Query execution was interrupted"],
    ),
    (
        1318,
        "ER_SP_WRONG_NO_OF_ARGS",
        &["Incorrect number of arguments for {} {}; expected {#}, got {#}"],
    ),
    (
        1321,
        "ER_SP_NORETURNEND",
        &["FUNCTION {} ended without RETURN"],
    ),
    (1327, "ER_SP_UNDECLARED_VAR", &["Undeclared variable: {}"]),
    (
        1329,
        "ER_SP_FETCH_NO_DATA",
        &["No data - zero rows fetched, selected, or processed"],
    ),
    (1336, "ER_STMT_NOT_ALLOWED_IN_SF_OR_TRG", &[]),
    (
        1339,
        "ER_SP_CASE_NOT_FOUND",
        &["Case not found for CASE statement"],
    ),
    (
        1347,
        "ER_WRONG_OBJECT",
        &["'{}' is not of type '{}'", "'{}' is not {}"],
    ),
    (
        1356,
        "ER_VIEW_INVALID",
        &[
            "View '{}' references invalid table(s) or column(s) or function(s) or definer/invoker of view lack rights to use them",
        ],
    ),
    (
        1359,
        "ER_TRG_ALREADY_EXISTS",
        &["Trigger '{}' already exists", "Trigger already exists"],
    ),
    (1360, "ER_TRG_DOES_NOT_EXIST", &["Trigger does not exist"]),
    (
        1364,
        "ER_NO_DEFAULT_FOR_FIELD",
        &["Field '{}' doesn't have a default value"],
    ),
    (1365, "ER_DIVISION_BY_ZERO", &["Division by 0"]),
    (
        1366,
        "ER_TRUNCATED_WRONG_VALUE_FOR_FIELD",
        &[
            "Incorrect {} value: '{*}' for column {} at row {*}",
            "Incorrect {} value: '{*}' for column '{}' at row {*}",
        ],
    ),
    (
        1367,
        "ER_ILLEGAL_VALUE_FOR_TYPE",
        &["Illegal {} '{*}' value found during parsing"],
    ),
    (
        1369,
        "ER_VIEW_CHECK_FAILED",
        &["CHECK OPTION failed {}", "CHECK OPTION failed '{}'"],
    ),
    (
        1370,
        "ER_PROCACCESS_DENIED_ERROR",
        &["{} command denied to user '{}'@'{}' for routine '{}'"],
    ),
    (
        1390,
        "ER_PS_MANY_PARAM",
        &["Prepared statement contains too many placeholders"],
    ),
    (1396, "ER_CANNOT_USER", &["Operation {} failed for {}"]),
    (
        1406,
        "ER_DATA_TOO_LONG",
        &["Data too long for column '{}' at row {*}"],
    ),
    (
        1411,
        "ER_WRONG_VALUE_FOR_TYPE",
        &["Incorrect {} value: '{*}' for function {*}"],
    ),
    (
        1412,
        "ER_TABLE_DEF_CHANGED",
        &["Table definition has changed, please retry transaction"],
    ),
    (
        1416,
        "ER_CANT_CREATE_GEOMETRY_OBJECT",
        &["Cannot get geometry object from data you send to the GEOMETRY field"],
    ),
    (
        1418,
        "ER_BINLOG_UNSAFE_ROUTINE",
        &[
            "This function has none of DETERMINISTIC, NO SQL, or READS SQL DATA in its declaration and binary logging is enabled (you *might* want to use the less safe log_bin_trust_function_creators variable)",
        ],
    ),
    (
        1419,
        "ER_BINLOG_CREATE_ROUTINE_NEED_SUPER",
        &[
            "You do not have the SUPER privilege and binary logging is enabled (you *might* want to use the less safe log_bin_trust_function_creators variable)",
        ],
    ),
    (
        1422,
        "ER_COMMIT_NOT_ALLOWED_IN_SF_OR_TRG",
        &[
            "Explicit or implicit commit is not allowed in stored function or trigger",
            "Explicit or implicit commit is not allowed in stored function or trigger.",
        ],
    ),
    (
        1424,
        "ER_SP_NO_RECURSION",
        &[
            "Recursive stored functions and triggers are not allowed",
            "Recursive stored functions and triggers are not allowed.",
        ],
    ),
    (1425, "ER_TOO_BIG_SCALE", &[]),
    (
        1441,
        "ER_DATETIME_FUNCTION_OVERFLOW",
        &["Datetime function: {*} field overflow"],
    ),
    (
        1442,
        "ER_CANT_UPDATE_USED_TABLE_IN_SF_OR_TRG",
        &[
            "Can't update table '{}' in stored function/trigger because it is already used by statement which invoked this stored function/trigger",
            "Can't update table '{}' in stored function/trigger because it is already used by statement which invoked this stored function/trigger.",
        ],
    ),
    (
        1449,
        "ER_NO_SUCH_USER",
        &["The user specified as a definer ('{}'@'{}') does not exist"],
    ),
    (
        1451,
        "ER_ROW_IS_REFERENCED_2",
        &[
            "Cannot delete or update a parent row: a foreign key constraint fails ({})",
            "Cannot delete or update a parent row: a foreign key constraint fails ({*})",
        ],
    ),
    (
        1452,
        "ER_NO_REFERENCED_ROW_2",
        &["Cannot add or update a child row: a foreign key constraint fails ({})"],
    ),
    (
        1456,
        "ER_SP_RECURSION_LIMIT",
        &[
            "Recursive limit {#} (as set by the max_sp_recursion_depth variable) was exceeded for routine {}",
        ],
    ),
    (
        1467,
        "ER_AUTOINC_READ_FAILED",
        &["Failed to read auto-increment value from storage engine"],
    ),
    (
        1478,
        "ER_ILLEGAL_HA_CREATE_OPTION",
        &["Table storage engine '{}' does not support the create option '{}'"],
    ),
    (1525, "ER_WRONG_VALUE", &["Incorrect {} value: '{*}'"]),
    (
        1526,
        "ER_NO_PARTITION_FOR_GIVEN_VALUE",
        &["Table has no partition for value {*}"],
    ),
    (
        1553,
        "ER_DROP_INDEX_FK",
        &["Cannot drop index '{}': needed in a foreign key constraint"],
    ),
    (
        1568,
        "ER_CANT_CHANGE_TX_CHARACTERISTICS",
        &["Transaction characteristics can't be changed while a transaction is in progress"],
    ),
    (
        1569,
        "ER_DUP_ENTRY_AUTOINCREMENT_CASE",
        &[
            "ALTER TABLE causes auto_increment resequencing, resulting in duplicate entry '{*}' for key '{}'",
        ],
    ),
    (
        1582,
        "ER_WRONG_PARAMCOUNT_TO_NATIVE_FCT",
        &["Incorrect parameter count in the call to native function '{}'"],
    ),
    (
        1586,
        "ER_DUP_ENTRY_WITH_KEY_NAME",
        &["Duplicate entry '{*}' for key '{}'"],
    ),
    (
        1630,
        "ER_FUNC_INEXISTENT_NAME_COLLISION",
        &[
            "FUNCTION {} does not exist. Check the 'Function Name Parsing and Resolution' section in the Reference Manual",
        ],
    ),
    (
        1644,
        "ER_SIGNAL_EXCEPTION",
        &["Unhandled user-defined exception condition"],
    ),
    (
        1690,
        "ER_DATA_OUT_OF_RANGE",
        &["{} value is out of range in '{*}'"],
    ),
    (
        1698,
        "ER_ACCESS_DENIED_NO_PASSWORD_ERROR",
        &["Access denied for user '{}'@'{}'"],
    ),
    (
        1701,
        "ER_TRUNCATE_ILLEGAL_FK",
        &["Cannot truncate a table referenced in a foreign key constraint ({})"],
    ),
    (
        1709,
        "ER_INDEX_COLUMN_TOO_LONG",
        &[
            "Index column size too large. The maximum column size is {#} bytes",
            "Index column size too large. The maximum column size is {#} bytes.",
        ],
    ),
    (
        1713,
        "ER_UNDO_RECORD_TOO_BIG",
        &["Undo log record is too big"],
    ),
    (
        1792,
        "ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION",
        &[
            "Cannot execute statement in a READ ONLY transaction",
            "Cannot execute statement in a READ ONLY transaction.",
        ],
    ),
    (
        1820,
        "ER_MUST_CHANGE_PASSWORD",
        &[
            "You must SET PASSWORD before executing this statement",
            "You must reset your password using ALTER USER statement before executing this statement.",
        ],
    ),
    (1836, "ER_READ_ONLY_MODE", &["Running in read-only mode"]),
    (1846, "ER_ALTER_OPERATION_NOT_SUPPORTED_REASON", &[]),
    (
        1901,
        "ER_GENERATED_COLUMN_FUNCTION_IS_NOT_ALLOWED",
        &["Function or expression '{*}' cannot be used in the {} clause of {}"],
    ),
    (
        1906,
        "ER_WARNING_NON_DEFAULT_VALUE_FOR_GENERATED_COLUMN",
        &["The value specified for generated column '{}' in table '{}' has been ignored"],
    ),
    (1927, "ER_CONNECTION_KILLED", &["Connection was killed"]),
    (
        1932,
        "ER_NO_SUCH_TABLE_IN_ENGINE",
        &["Table '{}' doesn't exist in engine"],
    ),
    (
        1969,
        "ER_STATEMENT_TIMEOUT",
        &["Query execution was interrupted (max_statement_time exceeded)"],
    ),
    (
        1977,
        "ER_CANNOT_CONVERT_CHARACTER",
        &["Cannot convert '{}' character {*} to '{}'"],
    ),
    (
        3024,
        "ER_QUERY_TIMEOUT",
        &["Query execution was interrupted, maximum statement execution time exceeded"],
    ),
    (
        3105,
        "ER_NON_DEFAULT_VALUE_FOR_GENERATED_COLUMN",
        &[
            "The value specified for generated column '{}' in table '{}' is not allowed.",
            "The value specified for generated column '{}' in table '{}' is not allowed",
        ],
    ),
    (
        3140,
        "ER_INVALID_JSON_TEXT",
        &[
            "Invalid JSON text: \"{*}\" at position {*} in value for column '{}'.",
            "Invalid JSON text: \"{*}\" at position {*} in value for column '{}'",
        ],
    ),
    (
        3141,
        "ER_INVALID_JSON_TEXT_IN_PARAM",
        &[
            "Invalid JSON text in argument {#} to function {}: \"{*}\" at position {*}.",
            "Invalid JSON text in argument {#} to function {}: \"{*}\" at position {*}",
        ],
    ),
    (
        3143,
        "ER_INVALID_JSON_PATH",
        &["Invalid JSON path expression. The error is around character position {*}."],
    ),
    (
        3144,
        "ER_INVALID_JSON_CHARSET",
        &["Cannot create a JSON value from a string with CHARACTER SET '{}'."],
    ),
    (
        3159,
        "ER_SECURE_TRANSPORT_REQUIRED",
        &[
            "Connections using insecure transport are prohibited while --require_secure_transport=ON.",
        ],
    ),
    (
        3572,
        "ER_LOCK_NOWAIT",
        &["Statement aborted because lock(s) could not be acquired immediately and NOWAIT is set."],
    ),
    (
        3730,
        "ER_FK_CANNOT_DROP_PARENT",
        &["Cannot drop table '{}' referenced by a foreign key constraint '{}' on table '{}'."],
    ),
    (
        3734,
        "ER_FK_NO_COLUMN_PARENT",
        &[
            "Failed to add the foreign key constraint. Missing column '{}' for constraint '{}' in the referenced table '{}'",
        ],
    ),
    (
        3780,
        "ER_FK_INCOMPATIBLE_COLUMNS",
        &[
            "Referencing column '{}' and referenced column '{}' in foreign key constraint '{}' are incompatible.",
        ],
    ),
    (
        3819,
        "ER_CHECK_CONSTRAINT_VIOLATED",
        &["Check constraint '{}' is violated."],
    ),
    (
        3903,
        "ER_INVALID_JSON_VALUE_FOR_FUNC_INDEX",
        &["Invalid JSON value for CAST for functional index '{}'."],
    ),
    (
        3948,
        "ER_CLIENT_LOCAL_FILES_DISABLED",
        &[
            "Loading local data is disabled; this must be enabled on both the client and server sides",
        ],
    ),
    (
        4025,
        "ER_CONSTRAINT_FAILED",
        &["CONSTRAINT {} failed for {}"],
    ),
    (
        4078,
        "ER_ILLEGAL_PARAMETER_DATA_TYPES2_FOR_OPERATION",
        &["Illegal parameter data types {} and {} for operation '{*}'"],
    ),
    (4161, "ER_UNKNOWN_DATA_TYPE", &["Unknown data type: '{}'"]),
];

#[cfg(test)]
mod tests {
    use super::super::super::redact::Dialect;
    use super::*;

    #[test]
    fn numbers_are_in_order_and_there_once() {
        assert!(KNOWN.is_sorted_by(|(one, ..), (next, ..)| one < next));
    }

    #[test]
    fn values_are_left_open_and_names_of_the_statement_are_told() {
        let names = Names::of(
            "UPDATE `users` SET mail = 'MARKER', id = mail",
            Dialect::Mysql,
        );
        for (code, message, text) in [
            (
                1062,
                "Duplicate entry 'MARKER' for key 'users.mail'",
                Some("Duplicate entry '?' for key 'users.mail'"),
            ),
            (
                1366,
                "Incorrect integer value: 'MARKER' for column `app`.`users`.`id` at row 1",
                Some("Incorrect integer value: '?' for column ? at row ?"),
            ),
            (
                1292,
                "Truncated incorrect INTEGER value: 'MARKER'",
                Some("Truncated incorrect INTEGER value: '?'"),
            ),
            (
                1146,
                "Table 'app.MARKER' doesn't exist",
                Some("Table '?' doesn't exist"),
            ),
            (1644, "MARKER is no address", None),
            (1105, "XPATH syntax error: '\\MARKER'", None),
            (9999, "MARKER", None),
        ] {
            assert_eq!(told(code, message, &names).as_deref(), text, "{message}");
        }
    }
}
