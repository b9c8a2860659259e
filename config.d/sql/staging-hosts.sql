-- Links on staging lead to staging. REPLACE leaves values without these names, and NULL, as they are.
UPDATE oauth_applications
   SET home_uri     = REPLACE(home_uri, 'publishing.service.example', 'staging.publishing.service.example'),
       redirect_uri = REPLACE(redirect_uri, 'publishing.service.example', 'staging.publishing.service.example');

UPDATE oauth_applications
   SET home_uri     = REPLACE(home_uri, 'www.example.org', 'www.staging.example.org'),
       redirect_uri = REPLACE(redirect_uri, 'www.example.org', 'www.staging.example.org');

UPDATE oauth_applications
   SET home_uri     = REPLACE(home_uri, 'draft-origin.example.net', 'draft-origin.staging.example.net'),
       redirect_uri = REPLACE(redirect_uri, 'draft-origin.example.net', 'draft-origin.staging.example.net');
