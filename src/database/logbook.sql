-- logbook
SELECT 1;
