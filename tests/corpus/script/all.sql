-- first
UPDATE users SET mail = 'x' || id || '@example.org', note = E'it\'s \\; $$' WHERE id > 5;
/* two /* nested; */ lines */ SELECT $tag$a;'b$tag$, $1, 1.5e-3, U&'d\0061t', "na;""me" FROM t;
CREATE OR REPLACE FUNCTION f(a int) RETURNS int LANGUAGE plpgsql AS $$BEGIN RETURN 'x;'; END$$;
CREATE FUNCTION g() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END; END;
CREATE RULE r AS ON INSERT TO t DO (DELETE FROM a; DELETE FROM b);
SELECT E'a'
  'b\';c', X'1f', B'01', N'größe' -- end
