-- A database like a publishing application's, of so many rows as the benchmark says.
-- What is random here comes from md5, so that every call makes the same rows.
SET @users = :users, @documents = :documents, @editions = :editions;
SET foreign_key_checks = 0, unique_checks = 0, time_zone = '+00:00';

CREATE TABLE users (
    id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, uid char(36) NOT NULL, email varchar(255) NOT NULL, name varchar(255) NOT NULL,
    permissions text NOT NULL, created_at datetime NOT NULL, UNIQUE KEY users_uid (uid), UNIQUE KEY users_email (email)
);
INSERT INTO users SELECT seq, INSERT(INSERT(MD5(CONCAT('u', seq)), 9, 0, '-'), 14, 0, '-'), CONCAT('user.', seq, '@example.org'), LEFT(MD5(CONCAT('n', seq)), 10),
    CONCAT('---\n- signin\n- role_', seq % 7, '\n'), '2015-01-01' + INTERVAL seq * 7 MINUTE FROM seq_1_to_100000000 LIMIT :users;

CREATE TABLE documents (
    id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, content_id char(36) NOT NULL, locale varchar(10) NOT NULL DEFAULT 'en', title varchar(255) NOT NULL,
    body mediumtext, details json NOT NULL, owner_id bigint NOT NULL, updated_at datetime(6) NOT NULL,
    UNIQUE KEY documents_content_id (content_id), KEY documents_owner (owner_id), KEY documents_updated (updated_at), KEY documents_title (title(40)),
    CONSTRAINT documents_owner_id FOREIGN KEY (owner_id) REFERENCES users (id)
);
INSERT INTO documents SELECT seq, INSERT(INSERT(MD5(CONCAT('d', seq)), 9, 0, '-'), 14, 0, '-'), ELT(1 + seq % 4, 'en', 'en', 'en', 'cy'), CONCAT('Guidance on ', LEFT(h, 8), ' and ', RIGHT(h, 8)),
    CONCAT_WS(' ', 'It is said that', h, MD5(CONCAT(h, 1)), 'and also', MD5(CONCAT(h, 2)), MD5(CONCAT(h, 3)), REPEAT('the public service ', 12), MD5(CONCAT(h, 4)), MD5(CONCAT(h, 5)), '\n', MD5(CONCAT(h, 6)), MD5(CONCAT(h, 7)), MD5(CONCAT(h, 8)), MD5(CONCAT(h, 9))),
    CONCAT('{"format": "', ELT(1 + seq % 3, 'guide', 'news', 'statistics'), '", "tags": ["', LEFT(h, 2), '", "', RIGHT(h, 2), '"], "change_note": "', MD5(CONCAT(h, 'c')), '", "parts": [{"slug": "', LEFT(h, 6), '", "n": ', seq, '}]}'),
    1 + seq % @users, '2020-01-01' + INTERVAL seq * 3 MINUTE
FROM (SELECT seq, MD5(CONCAT('h', seq)) AS h FROM seq_1_to_100000000 LIMIT :documents) AS made;

CREATE TABLE editions (
    id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, document_id bigint NOT NULL, version int NOT NULL, state varchar(20) NOT NULL, base_path varchar(255),
    description text, links json, publishing_request_id varchar(60), first_published_at timestamp NULL,
    UNIQUE KEY editions_version (document_id, version), KEY editions_base_path (base_path), KEY editions_state (state, first_published_at DESC),
    CONSTRAINT editions_document_id FOREIGN KEY (document_id) REFERENCES documents (id)
);
INSERT INTO editions SELECT seq, 1 + seq % @documents, 1 + seq DIV @documents, ELT(1 + seq % 3, 'published', 'superseded', 'draft'), CONCAT('/', LEFT(h, 12), '/', RIGHT(h, 12)),
    CONCAT(h, MD5(h)), CONCAT('{"organisation": ["', MD5(CONCAT('o', seq % 500)), '"], "n": ', seq, '}'), CONCAT(seq, '-', LEFT(h, 20)), '2020-01-01' + INTERVAL seq MINUTE
FROM (SELECT seq, MD5(CONCAT('e', seq)) AS h FROM seq_1_to_100000000 LIMIT :editions) AS made;

CREATE TABLE links (
    id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, edition_id bigint NOT NULL, target char(36) NOT NULL, link_type varchar(40) NOT NULL, position int NOT NULL,
    KEY links_edition (edition_id, link_type), KEY links_target (target), CONSTRAINT links_edition_id FOREIGN KEY (edition_id) REFERENCES editions (id) ON DELETE CASCADE
);
INSERT INTO links SELECT seq, 1 + seq % @editions, INSERT(INSERT(MD5(CONCAT('d', seq % @documents)), 9, 0, '-'), 14, 0, '-'), ELT(1 + seq % 4, 'organisations', 'taxons', 'parent', 'related'), seq % 9
FROM seq_1_to_100000000 LIMIT :links;

CREATE TABLE events (
    id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, user_id bigint, action varchar(30) NOT NULL, amount decimal(12, 2), payload json, at datetime(6) NOT NULL,
    KEY events_at (at), KEY events_user (user_id, action), CONSTRAINT events_user_id FOREIGN KEY (user_id) REFERENCES users (id)
);
INSERT INTO events SELECT seq, 1 + seq % @users, ELT(1 + seq % 3, 'PutContent', 'Publish', 'PatchLinkSet'), seq / 7.0, CONCAT('{"id": "', MD5(CONCAT('p', seq)), '", "n": ', seq, '}'), '2020-01-01' + INTERVAL seq * 20 SECOND
FROM seq_1_to_100000000 LIMIT :events;

CREATE VIEW published AS SELECT e.id, d.title, e.base_path FROM editions e JOIN documents d ON d.id = e.document_id WHERE e.state = 'published';
ANALYZE TABLE users, documents, editions, links, events;
