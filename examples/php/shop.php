<?php
/*
 * PHP, without any package of ours: an order and its message in one transaction (SQL), or a call by name (Redis).
 *
 *   PDO_DSN='pgsql:host=127.0.0.1;dbname=shop;user=shop' php examples/php/shop.php order 1 2 5551402211
 *   CELERY_BROKER_URL=redis://127.0.0.1:6379/0 php examples/php/shop.php notify 5551402211 'Tu pedido va en camino'
 *
 * For Laravel see docs/frameworks.md.
 */
declare(strict_types=1);

// Skips a key that is in use. Never INSERT IGNORE, which also skips rows that do not fit.
const INSERT = 'INSERT INTO smsclick_messages (key, phone, text) VALUES (?, ?, ?) ON CONFLICT DO NOTHING';
const THERE = 'SELECT phone, text FROM smsclick_messages WHERE key = ?';
const INSERT_MYSQL = 'INSERT INTO smsclick_messages (`key`, phone, text) VALUES (?, ?, ?) ON DUPLICATE KEY UPDATE id = id';
// With a lock: a plain SELECT reads what was there when the transaction began.
const THERE_MYSQL = 'SELECT phone, text FROM smsclick_messages WHERE `key` = ? LOCK IN SHARE MODE';

/**
 * Stores a message in the transaction that $db has open. Workers find it once that is committed.
 *
 * The phone is ten digits. A key that is there already is the same message, and nothing is stored; with another phone
 * or text it is refused.
 */
function enqueue(PDO $db, string $key, string $phone, string $text): void
{
    $mysql = $db->getAttribute(PDO::ATTR_DRIVER_NAME) === 'mysql';
    $db->prepare($mysql ? INSERT_MYSQL : INSERT)->execute([$key, $phone, $text]);
    $there = $db->prepare($mysql ? THERE_MYSQL : THERE);
    $there->execute([$key]);
    if ($there->fetch(PDO::FETCH_NUM) !== [$phone, $text]) {
        throw new DomainException('this key already belongs to a message with another phone or text');
    }
}

/**
 * Calls smsclick.enqueue by its name, without our database: a Celery message (docs/protocol.md) on the list of its queue.
 *
 * @param array<string, string> $message phone, text, key and whatever else enqueue takes
 * @return string the id of the call; it is the key of a message that has none
 */
function call_enqueue(string $broker_url, array $message): string
{
    $id = uuid();
    $headers = ['lang' => 'php', 'task' => 'smsclick.enqueue', 'id' => $id, 'root_id' => $id];
    $embed = ['callbacks' => null, 'errbacks' => null, 'chain' => null, 'chord' => null];
    $body = json_encode([[], $message, $embed], JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE);
    $envelope = [
        'body' => base64_encode($body),
        'content-type' => 'application/json',
        'content-encoding' => 'utf-8',
        'headers' => $headers,
        'properties' => [
            'correlation_id' => $id,
            'delivery_mode' => 2,
            'delivery_info' => ['exchange' => '', 'routing_key' => 'smsclick'],
            'priority' => 0,
            'body_encoding' => 'base64',
            'delivery_tag' => uuid(),
        ],
    ];
    $url = parse_url($broker_url);
    $redis = stream_socket_client("tcp://{$url['host']}:{$url['port']}", timeout: 3);
    stream_set_timeout($redis, 3);
    if (isset($url['pass'])) {
        redis($redis, 'AUTH', ...array_filter([urldecode($url['user'] ?? ''), urldecode($url['pass'])]));
    }
    redis($redis, 'SELECT', trim($url['path'] ?? '', '/') ?: '0');
    redis($redis, 'LPUSH', 'smsclick', json_encode($envelope, JSON_THROW_ON_ERROR));
    return $id;
}

/** One command in Redis's protocol, and its answer's one line. */
function redis($stream, string ...$words): string
{
    $command = '*' . count($words) . "\r\n";
    foreach ($words as $word) {
        $command .= '$' . strlen($word) . "\r\n$word\r\n";
    }
    fwrite($stream, $command);
    $answer = fgets($stream);
    if ($answer === false || $answer[0] === '-') {
        throw new RuntimeException('Redis: ' . ($answer ?: 'no answer'));
    }
    return rtrim($answer);
}

function uuid(): string
{
    return vsprintf('%s%s-%s-%s-%s-%s%s%s', str_split(bin2hex(random_bytes(16)), 4));
}

/** Places an order: with the commit the message is there, without it it is not. */
function order(PDO $db, int $product, int $quantity, string $phone): int
{
    $db->beginTransaction();
    try {
        $placed = $db->prepare('INSERT INTO php_orders (product_id, quantity) VALUES (?, ?) RETURNING id');
        $placed->execute([$product, $quantity]);
        $id = (int) $placed->fetchColumn();
        $placed->closeCursor();
        enqueue($db, "php-order-$id:placed", $phone, "Recibimos tu pedido $id, ¡gracias!");
        $db->prepare('UPDATE php_products SET stock = stock - ? WHERE id = ?')->execute([$quantity, $product]);
        $db->commit();
        return $id;
    } catch (Throwable $error) {
        $db->rollBack();
        throw $error;
    }
}

function create_tables(PDO $db): void
{
    $id = $db->getAttribute(PDO::ATTR_DRIVER_NAME) === 'pgsql' ? 'SERIAL PRIMARY KEY' : 'INTEGER PRIMARY KEY';
    $db->exec('CREATE TABLE IF NOT EXISTS php_products (id INTEGER PRIMARY KEY, stock INTEGER CHECK (stock >= 0))');
    $db->exec("CREATE TABLE IF NOT EXISTS php_orders (id $id, product_id INTEGER, quantity INTEGER)");
    $db->exec('INSERT INTO php_products (id, stock) VALUES (1, 10) ON CONFLICT DO NOTHING');
}

[, $what] = $argv;
if ($what === 'order') {
    $db = new PDO(getenv('PDO_DSN'), options: [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
    create_tables($db);
    echo order($db, (int) $argv[2], (int) $argv[3], $argv[4]), "\n";
} else {
    echo call_enqueue(getenv('CELERY_BROKER_URL'), ['phone' => $argv[2], 'text' => $argv[3]]), "\n";
}
