\connect other
COPY t FROM stdin;
1	\N
\.
SELECT 'open
