// Package server finds, installs and runs throw-away Postgres and Redis servers: for tests, benchmarks and make run. They listen on
// 127.0.0.1 alone, on free ports, trust everyone who can reach them, keep their files in a temporary folder, and do not outlive the process
// that started them.
package server
