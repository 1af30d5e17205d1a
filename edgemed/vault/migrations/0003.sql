-- What a template told the model, and the review of the note that the user made of an answer (`turns.note`).
-- `reviewed` is a time, NULL for a draft.

ALTER TABLE turns ADD COLUMN template TEXT NOT NULL DEFAULT '';
ALTER TABLE turns ADD COLUMN instruction TEXT NOT NULL DEFAULT '';
ALTER TABLE turns ADD COLUMN reviewed_by TEXT NOT NULL DEFAULT '';
ALTER TABLE turns ADD COLUMN reviewed INTEGER;
