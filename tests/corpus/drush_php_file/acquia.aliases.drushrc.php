<?php

if (!isset($drush_major_version)) {
  $drush_version_components = explode('.', DRUSH_VERSION);
  $drush_major_version = $drush_version_components[0];
}
// Site example, environment prod.
$aliases['prod'] = array(
  'root' => '/var/www/html/example.prod/docroot',
  'ac-site' => 'example',
  'ac-env' => 'prod',
  'uri' => 'example.prod.example-sites.com',
  'remote-host' => 'example.ssh.prod.example-sites.com',
  'remote-user' => 'example.prod',
  'path-aliases' => array(
    '%drush-script' => 'drush' . $drush_major_version,
  ),
);
$aliases['prod.livedev'] = array(
  'parent' => '@example.prod',
  'root' => '/mnt/gfs/example.prod/livedev/docroot',
);
$aliases["test"] = [
  'parent' => '@prod', # the same
  'uri' => "test.example.org",
  'ssh-options' => "-p 2200",
  'databases' => ['default' => ['default' => [
    'driver' => 'mysql', 'username' => 'u', 'password' => 'hunter2', 'host' => 'db.example.org', 'port' => 3307, 'database' => 'd',
  ]]],
  'target-command-specific' => ['sql-sync' => ['structure-tables-list' => 'cache,sessions']],
];
$aliases['all'] = ['site-list' => ['@example.prod', '@example.test']];
/* by parts */
$aliases['dev']['root'] = '/home/dev';
$aliases['dev']['path-aliases']['%files'] = $base . '/files';
$aliases['dev']['db-url'] = 'pgsql://u:hunter2@localhost:5432/dev';
