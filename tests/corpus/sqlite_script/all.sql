-- first
UPDATE users SET [it's] = 'masked', "a;b" = `c`, x = X'00ff', y = 1.5e3;
CREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; UPDATE b SET c = CASE WHEN 1 THEN 'end;' END; END;
/* a ; */ SELECT 'it''s', .5 /*/ open? */; PRAGMA user_version = 7;
.read other.sql
