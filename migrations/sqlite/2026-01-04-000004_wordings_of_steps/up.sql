-- Which of a step's wordings a message has: the variant that was drawn when it was planned, and the exit that its
-- question took when it left ('else': the other one).
ALTER TABLE messages ADD COLUMN variant TEXT;
ALTER TABLE messages ADD COLUMN exit TEXT;
