DROP INDEX messages_due_urgent;
DROP TABLE replicas;
DROP TABLE restores;
