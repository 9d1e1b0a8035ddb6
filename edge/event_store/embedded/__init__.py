"""An event store on EventStoreDB's wire, SQLite underneath: for the demo, the tests, and one lonely site."""
