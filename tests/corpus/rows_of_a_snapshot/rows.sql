BEGIN;
INSERT INTO "t
u" ("a", "b") VALUES (1,'it''s');
INSERT INTO "t
u" ("a", "b") VALUES (NULL,replace('a\nb','\n',char(10)));
INSERT INTO "t
u" ("a", "b") VALUES (-1.5,X'00FF');
INSERT INTO "t
u" ("a", "b") VALUES (1.0*6004799503160661/4503599627370496,CAST(X'FF' AS TEXT));
INSERT INTO "t
u" ("a", "b") VALUES (9e999,-9223372036854775808);
COMMIT;
