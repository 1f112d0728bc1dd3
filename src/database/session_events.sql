-- session_events
SELECT 1;
