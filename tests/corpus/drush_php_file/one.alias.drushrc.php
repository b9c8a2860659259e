<?php
$options = array ( 'uri' => "http://{$x}.example", 'root' => __DIR__ . '/web', 'a' => TRUE, 'b' => NULL, 'c' => 08, 'd' => -1, 'e' => foo(array(1, ')'), "\"")['x'] ?? 1, );
$options['remote-host'] = 'u@h.example:22'; ?>
