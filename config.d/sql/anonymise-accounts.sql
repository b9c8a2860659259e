-- Runs on the copy, on the target's server, before it is published: nobody sees the original rows.
UPDATE users
   SET email = 'user' || id || '@example.invalid',
       name  = 'User ' || id,
       phone = NULL;

DELETE FROM password_resets;
