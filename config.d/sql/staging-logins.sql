-- Somebody has to be able to log in to staging.
INSERT INTO users (email, name, role)
VALUES ('tester@example.invalid', 'Tester', 'admin')
    ON CONFLICT (email) DO UPDATE SET role = EXCLUDED.role;
