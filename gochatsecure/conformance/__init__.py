"""What a server and a client of the JSON protocol can be held against: tables, schemas, transcripts, a runner."""
