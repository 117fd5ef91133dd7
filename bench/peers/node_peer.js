// A chat room on Node's ws package.
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const https = require('https');
const { WebSocket, WebSocketServer } = require('ws');

const [port, cert, key] = process.argv.slice(2);
const secret = "the benchmark's peers are nobody's secret";
const rooms = new Map();

const issue = (name) => `${name}.${crypto.createHmac('sha256', secret).update(name).digest('hex')}`;

function verify(token) {
  const name = token.split('.', 1)[0];
  const [given, right] = [Buffer.from(token), Buffer.from(issue(name))];
  return given.length === right.length && crypto.timingSafeEqual(given, right) ? name : null;
}

const server = https.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) }, (request, response) => {
  const url = new URL(request.url, 'https://localhost');
  const username = url.searchParams.get('username');
  if (url.pathname !== '/auth' || !username) {
    response.writeHead(404).end();
    return;
  }
  const body = JSON.stringify({ token: issue(username), username, expires_in: 86400 });
  response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) }).end(body);
});

const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });

server.on('upgrade', (request, stream, head) => {
  const url = new URL(request.url, 'https://localhost');
  const name = verify(url.searchParams.get('token') || '');
  if (url.pathname !== '/ws' || name === null) {
    stream.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n');
    return;
  }
  sockets.handleUpgrade(request, stream, head, (socket) => {
    const room = url.searchParams.get('room') || 'default';
    if (!rooms.has(room)) rooms.set(room, new Set());
    const members = rooms.get(room);
    members.add(socket);
    socket.on('message', (data) => {
      const text = `${name}: ${data}`;
      for (const member of members) {
        if (member.readyState === WebSocket.OPEN) member.send(text);
      }
    });
    socket.on('close', () => members.delete(socket));
    socket.on('error', () => members.delete(socket));
  });
});

server.listen(Number(port), '127.0.0.1');
