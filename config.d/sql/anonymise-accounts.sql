-- Runs on the copy, in the target's database server, before it is published: nobody sees the rows as they were.
UPDATE users
   SET email = 'user' || id || '@example.invalid',
       name  = 'User ' || id,
       phone = NULL;

DELETE FROM password_resets;
