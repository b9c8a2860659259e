CREATE TABLE `us``ers` (
  `id` bigint(20) unsigned NOT NULL AUTO_INCREMENT,
  `mail` varchar(200) COLLATE utf8mb4_bin DEFAULT 'it''s, (x)' COMMENT 'a, b',
  `n` int(11) NOT NULL DEFAULT nextval(`app`.`seq`),
  `at` timestamp NOT NULL DEFAULT current_timestamp() ON UPDATE current_timestamp(),
  `g` varchar(10) GENERATED ALWAYS AS (concat(`mail`,'(')) STORED,
  PRIMARY KEY (`id`),
  UNIQUE KEY `mail` (`mail`(20),`n`) USING HASH,
  KEY `both` (`n`,`at`),
  FULLTEXT KEY `text` (`mail`),
  SPATIAL KEY `p` (`g`),
  CONSTRAINT `f` FOREIGN KEY (`n`) REFERENCES `other`.`t` (`id`) ON DELETE CASCADE,
  CONSTRAINT `c` CHECK (`n` > 0),
  PERIOD FOR SYSTEM_TIME (`a`, `b`)
) ENGINE=InnoDB AUTO_INCREMENT=17 DEFAULT CHARSET=utf8mb4 DATA DIRECTORY='/x' WITH SYSTEM VERSIONING
 PARTITION BY RANGE (`id`)
(PARTITION `p0` VALUES LESS THAN (10) ENGINE = InnoDB)
