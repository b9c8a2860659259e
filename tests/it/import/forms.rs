//! Site aliases of Drush in the forms that people have them in.

use std::fs;

use super::Host;

/// Aliases in many forms, as files; and what has to be written of each.
const FORMS: &[(&str, &str, &[&str])] = &[
    (
        "acquia.site.yml",
        "# Acquia's\nprod:\n  root: /var/www/html/acquia.prod/docroot\n  ac-site: acquia\n  ac-env: prod\n  host: acquia.ssh.prod.acquia-sites.com\n  user: acquia.prod\n  uri: https://www.example.org/de\n  paths: {drush-script: drush9, files: sites/default/files}\n  ssh: {tty: false, options: '-p 2222 -i ~/.ssh/acquia -o ProxyJump=jump.example.org'}\nprod.livedev:\n  parent: '@acquia.prod'\n  root: /mnt/gfs/acquia.prod/livedev/docroot\n  host: acquia.ssh.prod.acquia-sites.com\n  user: acquia.prod\n",
        &[
            "files = \"ssh://acquia.prod@acquia.ssh.prod.acquia-sites.com:2222/var/www/html/acquia.prod/docroot/sites/default/files\"",
        ],
    ),
    (
        "wild.site.yml",
        "'*':\n  host: ${env-name}.example.org\n  root: /srv\nlive:\n  host: web\n  user: 'a b'\n  root: /srv/with space/ü\n  ssh:\n    options: -o Port=7\nlocal:\n  root: /srv/www/../www/web\n",
        &["# files = \"ssh://a%20b@web:7/srv/with%20space/%C3%BC/sites/default/files\""],
    ),
    (
        "common.site.yml",
        "common: &common\n  user: deploy\n  paths: {files: /mnt/files/main}\nprod: {host: 192.0.2.7, root: /srv, <<: *common}\nstage: {host: 'u@web2:2200', root: /srv, uri: stage.example.org}\n",
        &[
            "files = \"ssh://deploy@192.0.2.7/mnt/files/main\"",
            "web2:2200/mnt/files/main\"",
        ],
    ),
    (
        "old.aliases.drushrc.php",
        "<?php\n/* Drush 8's */\n$aliases['parent'] = array(\n  'remote-user' => 'deploy', // whose\n  'root' => '/srv/docroot',\n  'path-aliases' => array('%files' => 'sites/example.org/files', '%dump-dir' => '/tmp'),\n);\n$aliases['prod'] = array('parent' => '@parent', 'remote-host' => 'web1.example.org', 'uri' => 'www.example.org', 'ssh-options' => '-p 2022');\n# short ones\n$aliases['stage'] = [\n  'parent' => '@old.parent',\n  'remote-host' => 'web2.example.org',\n  'uri' => \"stage.example.org\",\n  'path-aliases' => ['%files' => '/mnt/stage'],\n];\n",
        &[
            "files = \"ssh://deploy@web1.example.org:2022/srv/docroot/sites/example.org/files\"",
            "files = \"ssh://deploy@web2.example.org/mnt/stage\"",
            "\"www.example.org\" = { staging = \"stage.example.org\" }",
        ],
    ),
    (
        "computed.aliases.drushrc.php",
        "<?php\n$root = '/srv';\n$aliases['prod'] = ['root' => $root . '/web', 'remote-host' => 'web', 'databases' => ['default' => ['default' => ['driver' => 'pgsql', 'host' => 'db', 'username' => 'u', 'password' => 'hunter2', 'database' => 'd']]]];\n",
        &["database = { url = \"postgresql://u@db/d\""],
    ),
];

#[test]
fn aliases_in_every_form_become_settings_that_validate_as_they_are_written() {
    for (name, text, parts) in FORMS {
        let host = Host::new();
        host.put(name, text);
        let output = host.run(&["import", "drush", name]);
        let written = String::from_utf8(output.stdout).unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{name}: {said}");
        assert!(
            !written.contains("hunter2") && !said.contains("hunter2"),
            "{name}"
        );
        for part in *parts {
            assert!(
                written.contains(part),
                "{name}: {part} in\n{written}\n{said}"
            );
        }
        let settings = fs::read_to_string(host.path("envsyncd.toml")).unwrap();
        host.put("envsyncd.toml", &format!("{settings}{written}"));
        let output = host.run(&["validate"]);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(0), "{name}: {said}\n{written}");
    }
    let host = Host::new();
    for (name, text, _) in FORMS {
        host.put(name, text);
    }
    let said = |name: &str| {
        let output = host.run(&["import", "drush", name]);
        String::from_utf8(output.stderr).unwrap()
    };
    for (name, part) in [
        (
            "acquia.site.yml",
            "`-i ~/.ssh/acquia -o ProxyJump=jump.example.org` belongs into ~/.ssh/config",
        ),
        (
            "wild.site.yml",
            "wild.site.yml:1: the environments that a pattern stands for are not known",
        ),
        (
            "computed.aliases.drushrc.php",
            "`root` is not known: it is computed",
        ),
    ] {
        let said = said(name);
        assert!(said.contains(part), "{part} in\n{said}");
    }
}
