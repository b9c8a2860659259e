-- first
# second
USE `app`;
UPDATE `users` SET mail = CONCAT('it''s \' ', id), x = "a;b" WHERE id = 1\g
DELIMITER //
CREATE TRIGGER t BEFORE INSERT ON u FOR EACH ROW BEGIN SET NEW.a = 'x;'; END//
DELIMITER ;
/*!50003 SET sql_mode = 'ANSI_QUOTES' */;
/*M!100100 SELECT 1 */; SELECT 1--1, 2 -- x
/* plain ; */ SELECT `a``b`, \N, 0x1F, _utf8mb4'ß' FROM `größe`\G
